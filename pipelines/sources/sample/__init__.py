"""The embedded sample: real music that comes with music21, in the forms of the real
corpora."""
