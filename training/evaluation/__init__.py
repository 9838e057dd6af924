"""What is measured of models and of what they write."""
