"""Figures of the page of an evaluation, for plotly.js: parity of energies and forces, errors by element and group."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mlip_design.evaluation.collected import Collected
from mlip_design.evaluation.errors import fitted, of_composition
from mlip_design.report.figures import BLUE, GREY, ORANGE, layout

N_POINTS = 2000
"""Points that are drawn one by one; more are counted in cells."""
N_CELLS = 160
"""Cells of a count along either axis."""
N_BARS = 40
"""Groups that are drawn at most, worst first."""
SHADES = [[0, "#9ecae9"], [0.35, "#4c9bd0"], [0.7, "#1764ab"], [1, "#f58518"]]


def figures(collected: Collected, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Those for which there are labels, by name."""
    found = {}
    reference, made = collected.energies.T
    if np.isfinite(reference).any():
        zero = of_composition(collected, fitted(collected, reference))
        energies = [(values - zero) / collected.sizes for values in (reference, made)]
        found["energies"] = parity(*energies, "energy above that of the elements, eV/atom", hovers(collected))
    if np.isfinite(collected.forces[:, 0]).any():
        reference, made = (collected.forces[:, place].ravel() for place in (0, 1))
        found["forces"] = parity(reference, made, "force component, eV/Å")
        found["elements"] = bars(facts["elements"])
        if any(facts["groups"]):
            found["groups"] = bars(facts["groups"])
    if np.isfinite(collected.stresses).all(axis=(1, 2)).any():
        reference, made = (collected.stresses[:, place].ravel() for place in (0, 1))
        found["stresses"] = parity(reference, made, "stress component, eV/Å³")
    return found


def hovers(collected: Collected) -> Sequence[str]:
    """What is said of every structure under the mouse."""
    return [
        f"<b>{escape(name)}</b><br>{escape(group)}"
        for name, group in zip(collected.names, collected.groups, strict=True)
    ]


def parity(
    reference: np.ndarray, made: np.ndarray, quantity: str, texts: Sequence[str] | None = None
) -> dict[str, Any]:
    """Predictions over labels, both (n_points,), NaN left out: points, or, of many, the logarithm of their density."""
    known = np.isfinite(reference) & np.isfinite(made)
    x, y = reference[known], made[known]
    ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
    margin = 0.03 * (ends[1] - ends[0]) or 0.01
    span = [ends[0] - margin, ends[1] + margin]
    figure = go.Figure(layout={**layout(520), "showlegend": False})
    if len(x) > N_POINTS:
        figure.add_trace(density(x, y, span))
    else:
        chosen = None if texts is None else [texts[i] for i in np.flatnonzero(known)]
        marker = {"size": 6, "color": BLUE, "opacity": 0.7}
        figure.add_scatter(x=x.tolist(), y=y.tolist(), mode="markers", marker=marker, hovertext=chosen)
    line = {"color": GREY, "dash": "dash", "width": 1}
    figure.add_scatter(x=span, y=span, mode="lines", line=line, hoverinfo="skip")
    figure.update_xaxes(title=f"reference {quantity}", range=span, zeroline=False, nticks=7)
    figure.update_yaxes(title=f"predicted {quantity}", range=span, zeroline=False, nticks=7)
    return figure.to_plotly_json()


def density(x: np.ndarray, y: np.ndarray, span: Sequence[float]) -> go.Heatmap:
    """How many points lie in each cell, in shades of the logarithm; nothing where there is none."""
    counts, edges, _ = np.histogram2d(x, y, bins=N_CELLS, range=[span, span])
    centres = ((edges[1:] + edges[:-1]) / 2).tolist()
    cells = [[float(np.log10(count)) if count else None for count in row] for row in counts.T]
    decades = list(range(int(np.log10(counts.max())) + 1))
    return go.Heatmap(
        x=centres,
        y=centres,
        z=cells,
        zmin=0,
        colorscale=SHADES,
        hoverinfo="skip",
        colorbar={"title": "points", "tickvals": decades, "ticktext": [f"{10**d:,}" for d in decades]},
    )


def bars(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Force errors by name beside the mean absolute force, both in meV/Å, worst first."""
    names = [name for name, one in found.items() if one["forces_mae"] is not None]
    worst = sorted(names, key=lambda name: -found[name]["forces_mae"])[:N_BARS]
    figure, labels = go.Figure(layout=layout(420)), [escape(name) or "none" for name in worst]
    for title, key, colour in (("force MAE", "forces_mae", BLUE), ("force RMSE", "forces_rmse", ORANGE)):
        figure.add_bar(x=labels, y=values_of(found, worst, key), name=title, marker={"color": colour})
    marker = {"symbol": "line-ew-open", "size": 18, "color": GREY, "line": {"width": 2}}
    zero = values_of(found, worst, "mean_absolute_force")
    figure.add_scatter(x=labels, y=zero, mode="markers", name="zero forces: MAE", marker=marker)
    title = f"the worst {N_BARS} of {len(names):,}" if len(names) > N_BARS else None
    figure.update_xaxes(type="category", automargin=True, title=title, range=[-0.6, len(worst) - 0.4])
    figure.update_yaxes(title="meV/Å", rangemode="tozero")
    return figure.to_plotly_json()


def values_of(found: Mapping[str, Mapping[str, Any]], names: Sequence[str], key: str) -> list[float]:
    """One error of each, in thousandths."""
    return [1000 * found[name][key] for name in names]
