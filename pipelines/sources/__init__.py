"""Corpora: which files make which songs; one file a corpus."""
