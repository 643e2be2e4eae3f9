"""basis blocks, one a file."""
