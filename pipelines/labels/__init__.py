"""Valence and arousal: matches, metadata, label tables and the rule."""
