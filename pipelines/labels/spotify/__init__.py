"""Spotify's Web API, asked once for a frozen table."""
