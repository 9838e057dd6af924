"""File formats: bytes to notes, bars and tempo, and back."""
