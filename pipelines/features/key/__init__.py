"""The key of each bar and of the song, and what tells it: profiles, bass and phrases,
hidden states."""
