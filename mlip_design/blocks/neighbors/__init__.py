"""neighbors blocks, one a file."""
