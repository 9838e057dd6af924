"""Rules that keep a song or say why not; one file a rule."""
