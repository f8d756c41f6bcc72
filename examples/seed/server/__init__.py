"""The server package, laid out as the seed document does."""
