"""readout blocks, one a file."""
