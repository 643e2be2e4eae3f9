"""Pictures of dynamics: energy and temperature over time, deviation of the energy over time step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from mlip_design.dynamics.trajectory import Trajectory

HELD, BROKE, GUIDE = "#0072B2", "#D55E00", "#595959"
"""Okabe and Ito's; of what survived and what did not."""
WIDEST = 500.0
"""meV/atom; what changes by more is cut off."""


def draw_trajectories(found: Sequence[Trajectory]) -> Figure:
    """Change of the total energy (meV/atom) and kinetic temperature (K) over time, a line a trajectory."""
    figure, (left, right) = panels(2)
    for one in found:
        survived = one.end is None and one.departure is None
        style = {
            "color": HELD if survived else BROKE,
            "linewidth": 0.7,
            "alpha": 0.7,
            "zorder": 2 + (not survived),
        }
        known = np.isfinite(one.energies)
        energies = 1000 * (one.energies - one.energies[0]) / len(one.numbers)
        left.plot(one.times[known], energies[known], **style)
        right.plot(one.times[known], one.temperatures[known], **style)
        if not known.all() and known.any():
            last = np.flatnonzero(known)[-1]
            left.plot(one.times[last], np.clip(energies[last], -WIDEST, WIDEST), "x", color=BROKE)
    low, high = left.get_ylim()
    left.set_ylim(max(low, -WIDEST), min(high, WIDEST))
    broken = sum(one.end is not None or one.departure is not None for one in found)
    for colour, label in ((HELD, f"{len(found) - broken} survived"), (BROKE, f"{broken} did not")):
        left.plot([], [], color=colour, label=label)
    left.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    name_axes(left, "time (ps)", "change of total energy (meV/atom)")
    name_axes(right, "time (ps)", "kinetic temperature (K)")
    return figure


def draw_time_steps(test: dict[str, Any]) -> Figure:
    """Deviation of the total energy over time step, a line a trajectory, beside slope 2. test: of `judge`."""
    figure, (axes,) = panels(1)
    steps = np.array(test["time_steps"])
    for deviations in test["deviations"]:
        axes.plot(steps, deviations, "o-", color=HELD, linewidth=0.7, markersize=2.5, alpha=0.5)
    if (medians := test["median_deviations"]) is not None:
        axes.plot(steps, medians, "o-", color=BROKE, linewidth=2, label=f"median; mean slope {test['slope']:.2f}")
        axes.plot(steps, medians[0] * (steps / steps[0]) ** 2, "--", color=GUIDE, label="slope 2: smooth")
        axes.legend(frameon=False, fontsize=9)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(steps)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
    name_axes(axes, "time step (fs)", "deviation of total energy (meV/atom)")
    return figure


def panels(count: int) -> tuple[Figure, Sequence[Axes]]:
    """A figure that touches no global state."""
    figure = Figure(figsize=(5.2 * count, 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, count, squeeze=False)[0]


def name_axes(axes: Axes, across: str, up: str) -> None:
    """Name both axes."""
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
