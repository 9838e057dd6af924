"""Pieces written, and songs moved, by a trained model."""
