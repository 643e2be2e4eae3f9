"""Interactive figures of the page of a sweep, as plain mappings for plotly.js.

Colours of text, lines and ground are left to the page. Labels are escaped: plotly reads them as HTML.
"""

from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from mlip_design.report.figures import BLUE, FAINT, GREEN, GREY, ORANGE, layout
from mlip_design.selection.pareto import front
from mlip_design.selection.quantities import Quantity, quantity
from mlip_design.selection.selection import Selection
from mlip_design.selection.statistics import Estimate
from mlip_design.selection.terminal import with_interval
from mlip_design.selection.variants import DEFAULT, Variant, last_word

PICK_SYMBOLS = {"epsilon": "circle-open", "knee": "square-open"}


def pareto(selection: Selection, links: dict[str, str]) -> dict[str, Any]:
    """Every variant by the two objectives, the front drawn, picks ringed; a click on a point opens its first run.

    links: folder of a run -> what opens it.
    """
    figure = go.Figure(layout=layout(560))
    x, y = quantity(selection.x), quantity(selection.y)
    figure.add_scatter(**seeds_of_all(selection, links), mode="markers", marker={"size": 5, "color": GREY})
    staircase = corner_variants(selection)
    corners = {"x": scaled(staircase, selection.x), "y": scaled(staircase, selection.y)}
    figure.add_scatter(
        **corners, mode="lines", line={"shape": "hv", "color": BLUE}, hoverinfo="skip", showlegend=False
    )
    for name, style, variants in classes(selection):
        figure.add_scatter(**points(selection, variants, links), mode="markers", name=name, marker=style)
    for rule, symbol in PICK_SYMBOLS.items():
        picked = [selection[label] for label in selection.picks[rule].variants]
        ring = {"symbol": symbol, "size": 20, "color": GREEN, "line": {"width": 2.5}}
        place = {"x": scaled(picked, selection.x), "y": scaled(picked, selection.y)}
        figure.add_scatter(**place, mode="markers", name=f"pick of {rule}", marker=ring, hoverinfo="skip")
    for add, metric in ((figure.add_vline, selection.x), (figure.add_hline, selection.y)):
        corner = selection.references[metric]
        if corner.meaning == "zero forces":
            value, text = corner.value * quantity(metric).factor, {"annotation_text": corner.meaning}
            add(value, line={"dash": "dash", "width": 1, "color": GREY}, annotation_font_size=11, **text)
    figure.update_xaxes(title=escape(x.heading), range=span(selection, selection.x))
    figure.update_yaxes(title=escape(y.heading), range=span(selection, selection.y))
    return figure.to_plotly_json()


def corner_variants(selection: Selection) -> list[Variant]:
    """The variants that no other beats in x and y alone, lowest x first; with no other objective, the front."""
    values = np.array([[variant.mean(selection.x), variant.mean(selection.y)] for variant in selection.variants])
    return [variant for variant, keep in zip(selection.variants, front(values), strict=True) if keep]


def classes(selection: Selection) -> list[tuple[str, dict[str, Any], list[Variant]]]:
    """Name, marker and members of the kinds of points; empty kinds are left out."""
    kinds: dict[str, list[Variant]] = {"front": [], "beaten": [], "with a warning": []}
    for variant in selection.variants:
        warned, is_front = variant.label in selection.warnings, variant.label in selection.front
        kinds["with a warning" if warned else "front" if is_front else "beaten"].append(variant)
    colours = {"front": BLUE, "beaten": GREY, "with a warning": ORANGE}
    symbols = {"front": "circle", "beaten": "circle", "with a warning": "x"}
    return [
        (kind, {"color": colours[kind], "symbol": symbols[kind], "size": 11}, variants)
        for kind, variants in kinds.items()
        if variants
    ]


def points(selection: Selection, variants: list[Variant], links: dict[str, str]) -> dict[str, Any]:
    """Places of variants with the intervals of their seeds, hover texts and links."""
    return {
        "x": scaled(variants, selection.x),
        "y": scaled(variants, selection.y),
        "error_x": error_bars([variant.metrics[selection.x] for variant in variants], quantity(selection.x)),
        "error_y": error_bars([variant.metrics[selection.y] for variant in variants], quantity(selection.y)),
        "customdata": [links[str(variant.runs[0].folder)] for variant in variants],
        "hovertext": [hover(selection, variant) for variant in variants],
        "hoverinfo": "text",
    }


def seeds_of_all(selection: Selection, links: dict[str, str]) -> dict[str, Any]:
    """Places of the single runs of variants with several."""
    runs = [(variant, run) for variant in selection.variants if len(variant.runs) > 1 for run in variant.runs]
    x, y = quantity(selection.x), quantity(selection.y)
    return {
        "x": [run.value(selection.x) * x.factor for _, run in runs],
        "y": [run.value(selection.y) * y.factor for _, run in runs],
        "customdata": [links[str(run.folder)] for _, run in runs],
        "hovertext": [f"{in_lines(variant.label)}<br>seed {run.seed}" for variant, run in runs],
        "hoverinfo": "text",
        "name": "single seeds",
        "showlegend": bool(runs),
    }


def hover(selection: Selection, variant: Variant) -> str:
    """What is said of a variant under the mouse."""
    lines = [f"<b>{selection.place(variant.label)}</b>  {in_lines(variant.label)}"]
    for name in (*selection.objectives, *selection.held_out):
        written = quantity(name)
        lines.append(escape(f"{written.name} {with_interval(variant.metrics[name], name)} {written.unit}"))
    beaten_by = selection.beaten_by.get(variant.label, ())
    lines += (
        [f"beaten by {len(beaten_by)}, {in_lines(beaten_by[0], ' ')} one of them"]
        if beaten_by
        else ["on the front"]
    )
    lines += [escape(warning) for warning in selection.warnings.get(variant.label, ())]
    seeds = ", ".join(str(run.seed) for run in variant.runs)
    return "<br>".join([*lines, f"seeds {seeds}; click: seed {variant.runs[0].seed}"])


def parallel(selection: Selection) -> dict[str, Any]:
    """One line a variant through its choices and objectives, coloured by y; stretches of an axis can be marked."""
    variants, keys = selection.variants, list(selection.importance)
    dimensions = [choice_axis(key, [variant.choices.get(key, DEFAULT) for variant in variants]) for key in keys]
    dimensions += [
        {"label": escape(quantity(name).heading), "values": scaled(variants, name)}
        for name in selection.objectives
    ]
    line = {"color": scaled(variants, selection.y), "colorscale": [[0, BLUE], [1, ORANGE]]}
    figure = go.Figure(go.Parcoords(dimensions=dimensions, line=line), layout=layout(440))
    figure.update_layout(margin={"l": 110, "r": 110, "t": 70, "b": 30})
    return figure.to_plotly_json()


def choice_axis(key: str, values: list[str]) -> dict[str, Any]:
    """An axis with the values of a choice: numbers to scale, words at equal distances."""
    axis = {"label": escape(last_word(key))}
    try:
        return {**axis, "values": [float(value) for value in values]}
    except ValueError:
        known = sorted(set(values))
    return {
        **axis,
        "values": [known.index(value) for value in values],
        "tickvals": list(range(len(known))),
        "ticktext": [escape(value) for value in known],
        "range": [-0.2, len(known) - 0.8],
    }


def importance(selection: Selection) -> dict[str, Any]:
    """Share of the variance of each objective that goes with each choice, the most important on top."""
    shares = sorted(selection.importance.items(), key=lambda item: max(value or 0 for value in item[1].values()))
    names = [escape(last_word(key)) for key, _ in shares]
    figure = go.Figure(layout=layout(120 + 48 * len(shares)))
    for metric, colour in ((selection.y, ORANGE), (selection.x, BLUE)):
        values = [None if row[metric] is None else 100 * row[metric] for _, row in shares]
        texts = ["unknown" if value is None else f"{value:.0f} %" for value in values]
        bar = {"x": [value or 0 for value in values], "y": names, "text": texts, "textposition": "outside"}
        figure.add_bar(
            **bar, orientation="h", name=escape(quantity(metric).name), marker_color=colour, hoverinfo="skip"
        )
    figure.update_layout(legend_traceorder="reversed")
    figure.update_xaxes(range=[0, 112], title="share of variance, %")
    return figure.to_plotly_json()


def seeds(selection: Selection, links: dict[str, str]) -> dict[str, Any]:
    """Every seed of the variants with several, and the 95 % intervals of their means, for both objectives."""
    several = [variant for variant in reversed(selection.variants) if len(variant.runs) > 1]
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.03)
    places = [f"{selection.place(variant.label)}" for variant in several]
    for column, name in enumerate((selection.x, selection.y), start=1):
        written, where = quantity(name), {"row": 1, "col": column}
        bars = error_bars([variant.metrics[name] for variant in several], written)
        mean = {"symbol": "line-ns-open", "size": 14, "color": BLUE, "line": {"width": 2}}
        hovers = [in_lines(variant.label) for variant in several]
        figure.add_scatter(
            x=scaled(several, name), y=places, error_x=bars, mode="markers", marker=mean, hovertext=hovers, **where,
            hoverinfo="text", name="mean and 95 % interval", showlegend=column == 1,
        )  # fmt: skip
        runs = [(place, run) for place, variant in zip(places, several, strict=True) for run in variant.runs]
        figure.add_scatter(
            x=[run.value(name) * written.factor for _, run in runs], y=[place for place, _ in runs], mode="markers",
            customdata=[links[str(run.folder)] for _, run in runs], hovertext=[f"seed {run.seed}" for _, run in runs],
            hoverinfo="text", marker={"size": 7, "color": ORANGE}, name="seed", showlegend=column == 1, **where,
        )  # fmt: skip
        figure.update_xaxes(title=escape(written.heading), range=span(selection, name), **where)
    figure.update_layout(layout(150 + 26 * len(several)))
    figure.update_yaxes(type="category").update_yaxes(title="variant", row=1, col=1)
    return figure.to_plotly_json()


def scaled(variants: list[Variant] | tuple[Variant, ...], name: str) -> list[float]:
    """Means of a metric in the unit that people read."""
    return [variant.mean(name) * quantity(name).factor for variant in variants]


def span(selection: Selection, name: str) -> list[float]:
    """The stretch of an axis that holds every run; intervals of few seeds may be much wider, and are cut."""
    values = [run.value(name) * quantity(name).factor for variant in selection.variants for run in variant.runs]
    margin = 0.08 * (max(values) - min(values)) or 0.05 * abs(values[0]) or 1.0
    return [min(values) - margin, max(values) + margin]


def error_bars(estimates: list[Estimate], written: Quantity) -> dict[str, Any]:
    """Halves of the intervals; none for one seed."""
    halves = [None if one.high is None else (one.high - one.mean) * written.factor for one in estimates]
    return {"type": "data", "array": halves, "thickness": 1, "width": 3, "color": FAINT}


def in_lines(label: str, separator: str = "<br>") -> str:
    """A label, escaped, with one choice a line."""
    return escape(label).replace(" ", separator)
