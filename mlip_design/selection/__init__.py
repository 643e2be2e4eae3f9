"""Choosing among trained variants by several objectives; needs no torch."""
