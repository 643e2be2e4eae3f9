"""Choosing among trained variants by several objectives; needs no torch.

runs, unreadable = load_runs(["multirun/2026-01-01/12-00-00"])
selection = compare(runs, unreadable=unreadable)
selection.front, selection.picks["knee"].reason
"""

from mlip_design.selection.comparison import compare
from mlip_design.selection.runs import Run, load_runs
from mlip_design.selection.selection import Selection

__all__ = ["Run", "Selection", "compare", "load_runs"]
