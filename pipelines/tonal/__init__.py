"""What tells a key: published profiles, bass and phrases, and chains of hidden states; the parts of features/key.py."""
