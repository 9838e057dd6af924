"""Beam coats: thin transforms; the functions in them are handed in."""
