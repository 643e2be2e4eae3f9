"""Interactive figures of the page of a BSCT result, as plain mappings for plotly.js, and scans for it to draw.

Colours of text, lines and ground are left to the page. Text is escaped: plotly reads it as HTML.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

import numpy as np
import plotly.graph_objects as go

from mlip_design.bsct.curves import leading_curves
from mlip_design.bsct.plots import coordinate_name, energy_top, pulls
from mlip_design.bsct.scan import Prediction, Scan
from mlip_design.bsct.score import leading
from mlip_design.report.curves import COLOURS
from mlip_design.report.figures import BLUE, FAINT, GREY, ORANGE, axis, layout

SYMBOLS = ("circle", "diamond", "square", "triangle-up", "star", "pentagon")
FLOOR = 1.0
"""e of the formula, eV/Å."""
SHALLOWEST = 0.1
"""Squared deviations are drawn from here up, (eV/Å)²: those of the reference vanish at equilibrium."""

ERROR_AXES = {"full_forces_mae": "force MAE, eV/Å", "full_smoothness": "FSD, 1/Å"}

Systems = Mapping[str, Mapping[str, Any]]
"""Name -> entry of "systems" of the result; those with a usable prediction."""


def bonds(systems: Systems, groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """FSD of every system by bond type, with quartiles, means with their intervals, and means of zero forces.

    Of volumes, that of the stress. groups: "bonds" of the result.
    """
    figure = go.Figure(layout=layout(460))
    points = {"marker": {"color": BLUE, "size": 5, "opacity": 0.7}, "line": {"color": GREY, "width": 1}}
    figure.add_box(
        x=[escape(system["bond"]) for system in systems.values()],
        y=[leading(system) for system in systems.values()],
        boxpoints="all", jitter=0.5, pointpos=0, fillcolor="rgba(0, 0, 0, 0)", **points, **links(systems),
        hovertext=[hover(name, system) for name, system in systems.items()], hoverinfo="text", hoveron="points",
        name="system, with quartiles",
    )  # fmt: skip
    found = {escape(bond): leading(group["keys"]) for bond, group in groups.items()}
    means = [one["mean"] for one in found.values()]
    ends = np.array([one["interval"] or [one["mean"]] * 2 for one in found.values()]).reshape(-1, 2).T
    bars = {"array": list(ends[1] - means), "arrayminus": list(means - ends[0]), "thickness": 2, "width": 6}
    texts = [
        f"{bond}: mean {m:.1f}, zero forces {one['zero']:.1f}"
        for m, (bond, one) in zip(means, found.items(), strict=True)
    ]
    common = {"x": list(found), "mode": "markers", "hovertext": texts, "hoverinfo": "text"}
    style = {"color": ORANGE, "size": 9, "symbol": "diamond"}
    figure.add_scatter(y=means, error_y=bars, marker=style, name="mean and 95 % interval", **common)
    style = {"color": GREY, "size": 22, "symbol": "line-ew-open", "line": {"width": 3}}
    figure.add_scatter(
        y=[one["zero"] for one in found.values()], marker=style, name="mean of zero forces", **common
    )
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=list(found), title="bond type")
    figure.update_yaxes(title="FSD, 1/Å", rangemode="tozero")
    return figure.to_plotly_json()


def errors(systems: Systems) -> dict[str, Any]:
    """FSD against force error, one point a system, coloured by bond type; behind them the same of zero forces.

    systems: those that feel a force.
    """
    figure = go.Figure(layout=layout(560))
    zero = {key: [system[f"zero_{key}"] for system in systems.values()] for key in ERROR_AXES}
    style = {"symbol": "x-thin-open", "size": 7, "color": FAINT, "line": {"width": 1.5}}
    names = [f"{escape(name)}, zero forces" for name in systems]
    figure.add_scatter(
        x=zero["full_forces_mae"], y=zero["full_smoothness"], mode="markers", name="zero forces", marker=style,
        hovertext=names, hoverinfo="text", **links(systems),
    )  # fmt: skip
    for place, bond in enumerate(sorted({system["bond"] for system in systems.values()})):
        some = {name: system for name, system in systems.items() if system["bond"] == bond}
        style = {"color": COLOURS[place % len(COLOURS)], "size": 8, "opacity": 0.85}
        style["symbol"] = SYMBOLS[place // len(COLOURS) % len(SYMBOLS)]
        figure.add_scatter(
            x=[system["full_forces_mae"] for system in some.values()],
            y=[system["full_smoothness"] for system in some.values()],
            mode="markers", name=escape(bond), marker=style, **links(some),
            hovertext=[hover(name, system) for name, system in some.items()], hoverinfo="text",
        )  # fmt: skip
    for update, (key, title) in zip((figure.update_xaxes, figure.update_yaxes), ERROR_AXES.items(), strict=True):
        update(title=title, **axis([system[key] for system in systems.values()]))
    return figure.to_plotly_json()


def links(systems: Systems) -> dict[str, list[str]]:
    """What a click on a point of each opens: its scan, further down on the page."""
    return {"customdata": [f"#{quote(name)}" for name in systems]}


def hover(name: str, system: Mapping[str, Any]) -> str:
    """What is said of a system under the mouse."""
    lines = [
        f"<b>{escape(name)}</b>",
        *stress_parts(system),
        f"FSD {system['full_smoothness']:.1f} 1/Å, zero forces {system['zero_full_smoothness']:.1f}",
        f"steepest {system['steepest'] - system['equilibrium']:+.2f} Å from equilibrium",
        f"away from it {system['windowed_smoothness']:.1f} 1/Å",
        f"force MAE {system['full_forces_mae']:.3f} eV/Å, zero forces {system['zero_full_forces_mae']:.3f}",
    ]
    return "<br>".join([*lines, "click: its scan"])


def drawn_scan(scan: Scan, prediction: Prediction, system: Mapping[str, Any]) -> dict[str, Any]:
    """What scan.js draws of a scan, every curve with None where the model has no finite value.

    prediction: its energies are drawn relative to the frame of lowest reference energy. system: the scan's entry of
    "systems" in the result.
    """
    energies, _, *stresses = prediction
    curves, k = leading_curves(scan, prediction, FLOOR), scan.equilibrium
    reference = scan.energies - scan.energies[k]
    steepest, found = curves.steepest, np.abs(curves.slope)
    return {
        "lengths": numbers(scan.lengths),
        "reference_energies": numbers(reference),
        "energies": numbers(energies - energies[k]),
        "energy_top": energy_top(scan) or None,
        "reference_stress": numbers(pulls(scan.stresses)) if stresses else None,
        "stress": numbers(pulls(*stresses)) if stresses else None,
        "reference_deviations": numbers(np.maximum(curves.reference, SHALLOWEST), 3),
        "deviations": numbers(np.maximum(curves.model, SHALLOWEST), 3),
        "floor": FLOOR**2,
        "log_ratio": numbers(curves.log_ratio),
        "slope": numbers(found),
        "equilibrium": k,
        "steepest": steepest if np.isfinite(found[steepest]) else None,
        "zero_smoothness": leading(system, "zero_"),
        "coordinate": escape(coordinate_name(scan)),
        "title": " ".join(title_parts(scan.name, system)),
    }


def title_parts(name: str, system: Mapping[str, Any]) -> Iterator[str]:
    """Name and scores of a system."""
    yield f"{name}:"
    if system["failure"]:
        yield system["failure"]
        return
    yield from (f"{part};" for part in stress_parts(system))
    yield f"FSD {system['full_smoothness']:.1f} 1/Å (zero forces {system['zero_full_smoothness']:.1f}),"
    yield f"away from equilibrium {system['windowed_smoothness']:.1f}, force MAE {system['full_forces_mae']:.3f} eV/Å"


def stress_parts(system: Mapping[str, Any]) -> Iterator[str]:
    """The scores of the stress, if there are any."""
    if "stress_mae" in system:
        zero = f"zero stress {system['zero_stress_smoothness']:.1f}"
        yield f"stress: FSD {system['stress_smoothness']:.1f} 1/Å ({zero}), MAE {system['stress_mae']:.4f} eV/Å³"


def numbers(values: Sequence[float] | np.ndarray, digits: int = 4) -> list[float | None]:
    """With few digits, None where a value is not finite."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]
