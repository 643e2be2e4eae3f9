"""`report.html` of a comparison: means, differences with their certainty, and the models system by system."""

from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from mlip_design.bsct.compare import Comparison
from mlip_design.report.curves import COLOURS
from mlip_design.report.figures import GREY, axis, layout
from mlip_design.report.page import write_page
from mlip_design.report.table import Column, Table


def write_comparison_page(folder: Path, comparison: Comparison) -> Path:
    """Write `report.html`, about 5 MB, into a folder; returns its path. Raises OSError."""
    rows = [list(item) for item in comparison.not_compared.items()]
    return write_page(
        folder / "report.html",
        "compare.html",
        title=f"{len(comparison.models)} models on {len(comparison.systems):,} systems",
        comparison=comparison,
        means=means(comparison),
        differences=differences(comparison),
        certainty={key: certainty(found.paired.certainty) for key, found in comparison.keys.items()},
        not_compared=Table([Column("system"), Column("why")], rows, can_filter=True),
        figures={"differences": differences_figure(comparison), "systems": systems_figure(comparison)},
        plotly=Markup(get_plotlyjs()),
    )


def numbered(comparison: Comparison) -> list[str]:
    """Models with the numbers by which the page calls them."""
    return [f"{number}: {name}" for number, name in enumerate(comparison.models, start=1)]


def means(comparison: Comparison) -> Table:
    """Every model by every key."""
    columns = [Column("key"), Column("unit"), Column("zero forces", digits=3)]
    for number in range(1, len(comparison.models) + 1):
        columns += [Column(f"model {number}", digits=3), Column("±", digits=3)]
    rows = []
    for key, found in comparison.keys.items():
        cells = [cell for one in found.paired.means for cell in (one.mean, (one.high - one.low) / 2)]
        rows.append([key, found.unit, found.zero, *cells])
    return Table(columns, rows)


def differences(comparison: Comparison) -> Table:
    """Every model but the first by every key."""
    columns = [Column("key"), Column("unit"), Column("model", digits=0), Column("difference", digits=3)]
    columns += [Column("95 %: low", digits=3), Column("high", digits=3), Column("lower in", "% of resamplings", 1)]
    columns += [Column(name, "systems", 0) for name in ("lower on", "equal on", "higher on")]
    columns += [Column("sign test, p", digits=4), Column("verdict")]
    rows = []
    for key, found in comparison.keys.items():
        for place, one in enumerate(found.paired.differences, start=2):
            share = 100 * found.paired.certainty[place - 1][0]
            counts = [one.lower, one.equal, one.higher, one.sign_p]
            rows.append([key, found.unit, place, one.mean, one.low, one.high, share, *counts, one.verdict])
    return Table(columns, rows)


def certainty(shares: list[list[float]]) -> Table:
    """Who is lower than whom, in % of the resamplings."""
    numbers = range(len(shares))
    columns = [Column("model", digits=0), *(Column(f"than {number + 1}", "%", 1) for number in numbers)]
    rows = [
        [row + 1, *(None if row == column else 100 * shares[row][column] for column in numbers)] for row in numbers
    ]
    return Table(columns, rows)


def differences_figure(comparison: Comparison) -> dict[str, Any]:
    """Differences to the first model with their intervals, in % of its mean, where that is not 0."""
    shown = {key: found.paired for key, found in comparison.keys.items() if found.paired.means[0].mean}
    rows = [(key, place) for key in shown for place in range(1, len(comparison.models))][::-1]
    figure = go.Figure(layout=layout(130 + 34 * len(rows)))
    for place, model in enumerate(numbered(comparison)[1:], start=1):
        labels = [f"{key}, model {place + 1}" for key in shown]
        percent = np.array([100 / found.means[0].mean for found in shown.values()])
        found = (found.differences[place - 1] for found in shown.values())
        means, lows, highs = percent * np.array([(one.mean, one.low, one.high) for one in found]).reshape(-1, 3).T
        bars = {"array": list(highs - means), "arrayminus": list(means - lows), "thickness": 2, "width": 6}
        figure.add_scatter(
            x=list(means), y=labels, error_x=bars, mode="markers", name=escape(model), showlegend=True,
            marker={"size": 9, "color": COLOURS[place % len(COLOURS)]},
        )  # fmt: skip
    order = [f"{key}, model {place + 1}" for key, place in rows]
    figure.update_layout(margin={"l": 230})
    figure.update_xaxes(title="difference to model 1, % of its mean", zeroline=True, zerolinewidth=2)
    ends = [-0.6, len(order) - 0.4]
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=order, range=ends)
    return figure.to_plotly_json()


def systems_figure(comparison: Comparison) -> dict[str, Any]:
    """Every system by the first key: the first model against the others; below the line the other is lower."""
    (key, found), *_ = comparison.keys.items()
    figure = go.Figure(layout=layout(560))
    ends = [float(found.values.min()), float(found.values.max())]
    style = {"color": GREY, "dash": "dash", "width": 1}
    figure.add_scatter(x=ends, y=ends, mode="lines", line=style, name="equal", hoverinfo="skip")
    for place, model in enumerate(numbered(comparison)[1:], start=1):
        texts = [
            f"<b>{escape(name)}</b><br>model 1: {first:.4g}<br>model {place + 1}: {other:.4g}"
            for name, first, other in zip(comparison.systems, found.values[0], found.values[place], strict=True)
        ]
        figure.add_scatter(
            x=found.values[0].tolist(), y=found.values[place].tolist(), mode="markers", name=escape(model),
            marker={"size": 7, "color": COLOURS[place % len(COLOURS)], "opacity": 0.8}, hovertext=texts,
            hoverinfo="text",
        )  # fmt: skip
    title = f"{key}, {found.unit}"
    scale = axis(found.values.ravel())
    figure.update_xaxes(title=f"model 1: {title}", **scale).update_yaxes(
        title=f"the other model: {title}", **scale
    )
    return figure.to_plotly_json()
