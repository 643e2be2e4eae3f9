"""repulsion blocks, one a file."""
