"""A row of a release to what a model reads, and back."""
