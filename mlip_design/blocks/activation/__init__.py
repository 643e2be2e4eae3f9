"""activation blocks, one a file."""
