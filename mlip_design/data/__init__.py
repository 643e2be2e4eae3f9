"""Structures for training and evaluation: the bundled set, users' files, BSCT scans; batches of graphs."""
