"""Scans of a user's own structures at a user's own level of theory; `run.build_scans` puts the parts together."""
