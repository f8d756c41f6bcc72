"""What other processes see: the board, and lists of connections."""
