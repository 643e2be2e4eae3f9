"""attention blocks, one a file."""
