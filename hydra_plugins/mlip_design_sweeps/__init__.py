"""Plugins of Hydra, which looks for them here only: the sweeper of `sweep=pareto`, and what frames every multirun.

Hydra imports every module of this package at each start, but for those whose names begin with an underscore: these do
the work and are imported when there is some.
"""
