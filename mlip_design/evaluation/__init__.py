"""Errors of a model on a set of structures."""
