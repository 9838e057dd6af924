"""What a person reads of a release."""
