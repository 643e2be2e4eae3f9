"""Readers of data sets as they are published: one file a format, each a stream of `contract.Entry`."""
