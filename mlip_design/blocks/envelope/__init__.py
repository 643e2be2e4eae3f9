"""envelope blocks, one a file."""
