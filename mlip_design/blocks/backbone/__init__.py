"""backbone blocks, one a file."""
