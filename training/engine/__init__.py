"""One loop that trains any model, and goes on where it stopped."""
