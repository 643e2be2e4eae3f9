"""Molecular dynamics: does a potential conserve energy, and do its simulations survive?"""
