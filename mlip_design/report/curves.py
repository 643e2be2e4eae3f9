"""Errors and smoothness over epochs, drawn as SVG that takes the colour of the text around it."""

import io
import math
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito's
INK = "#010203"
"""Stands for the colour of the text, which the page knows and matplotlib does not."""
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "curves",
    "font.family": "sans-serif",
    "font.size": 11,
    **{f"{name}.color": INK for name in ("text", "xtick", "ytick")},
    **{f"axes.{name}color": INK for name in ("edge", "label", "title")},
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
SMOOTHNESS = {"full_smoothness": "full", "windowed_smoothness": "away from equilibrium"}

Series = tuple[str, Sequence[float], float]
"""Label, value at every epoch (NaN where there is none), and the value of zero forces."""


def curves_svg(history: list[dict[str, float]], zero_forces: dict[str, float]) -> str:
    """Force MAE and force smoothness deviation over epochs, beside those of zero forces, as an `<svg>` element.

    history: one row of metrics an epoch (`metrics.csv`), eV/Å and 1/Å; there is at least one. zero_forces: validation
    split -> mean absolute force component, eV/Å.
    """
    epochs = [row["epoch"] for row in history]
    errors = [
        (split, [1000 * row.get(f"{split}/forces_mae", math.nan) for row in history], 1000 * zero)
        for split, zero in zero_forces.items()
    ]
    smoothness = [
        (label, values(history, f"val/bsct/{key}"), values(history[-1:], f"val/bsct/zero_{key}")[0])
        for key, label in SMOOTHNESS.items()
    ]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 3.7), layout="constrained")
        FigureCanvasSVG(figure)
        left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.08})
        draw(left, epochs, errors, "force MAE (meV/Å)")
        draw(right, epochs, smoothness, "force smoothness deviation (1/Å)")
        left.set_yscale("log")
        left.yaxis.set_major_locator(MaxNLocator(6))
        left.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
        left.yaxis.set_minor_formatter(NullFormatter())
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :].replace(INK, "currentColor")


def values(history: list[dict[str, float]], name: str) -> list[float]:
    """A metric at every epoch, NaN where there is none."""
    return [row.get(name, math.nan) for row in history]


def draw(axes: Axes, epochs: list[float], series: list[Series], label: str) -> None:
    """Lines through the epochs that have a value, and a dashed line of the same colour for zero forces."""
    for (name, line, zero), colour in zip(series, COLOURS, strict=False):
        known = [(epoch, value) for epoch, value in zip(epochs, line, strict=True) if math.isfinite(value)]
        if not known:
            continue
        axes.plot(*zip(*known, strict=True), "o-", color=colour, markersize=4, label=name)
        if math.isfinite(zero):
            axes.axhline(zero, color=colour, linestyle="--", linewidth=1.2, label=f"{name}, zero forces")
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if axes.lines:
        axes.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=2)
