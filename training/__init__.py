"""Training: a published release in, trained models, MIDI and metrics out."""
