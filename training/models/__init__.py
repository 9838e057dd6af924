"""One file a model or a family."""
