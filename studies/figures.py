"""Figures of the studies: panels side by side."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMNS = {1: 1, 2: 2, 4: 2}
"""Panels -> columns, where there are not three."""


def panels(count: int) -> tuple[Figure, list[Axes]]:
    """A figure and so many axes, in rows of three at most."""
    columns = COLUMNS.get(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.4 * columns, 3.4 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for empty in axes[count:]:
        empty.set_axis_off()
    return figure, axes[:count]
