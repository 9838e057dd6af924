"""What one song alone says, bar by bar; one file a feature."""
