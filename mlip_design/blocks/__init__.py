"""Swappable building blocks of a potential; each keeps one of the promises in `contracts`."""
