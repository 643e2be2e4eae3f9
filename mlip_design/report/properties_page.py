"""`report.html` of properties: the table of all quantities, their means, and the curves of model and reference."""

import io
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from mlip_design.report.curves import COLOURS, INK, STYLE
from mlip_design.report.page import write_page
from mlip_design.report.properties_tables import HEADINGS, Facts, mean_rows, messages, rows, title
from mlip_design.report.table import Column, Table

LINES = {"reference": {"color": COLOURS[0], "linewidth": 2.2}, "model": {"color": COLOURS[1], "linewidth": 1.3}}
CEILING = 1.3
"""Of the highest that the reference shows: what a frame shows at most, however high a wall the model has."""


def write_properties_page(path: Path, facts: Facts) -> Path:
    """Write the page of what `properties.json` holds; returns its path. Takes some 15 kB for each curve."""
    figures = [
        (
            title(entry),
            [(name, svg(figure)) for name, one in entry["properties"].items() for figure in one["figures"]],
        )
        for entry in with_figures(facts)
    ]
    return write_page(
        path,
        "properties.html",
        title=f"Properties: {facts['model']['name']} against {facts['reference']['name']}",
        facts=facts,
        quantities=Table([Column(heading) for heading in HEADINGS], list(rows(facts)), can_filter=True),
        means=Table([Column(h) for h in ("property", "quantity", "error", "values")], list(mean_rows(facts))),
        notes=table_of(messages(facts, "notes"), "note"),
        failed=table_of(messages(facts, "failed"), "reason"),
        left_out=table_of(messages(facts, "left out"), "reason"),
        figures=[(name, drawn) for name, drawn in figures if drawn],
    )


def with_figures(facts: Facts) -> list[Facts]:
    """Structures with those properties only that have figures."""
    return [
        entry | {"properties": {name: one for name, one in entry["properties"].items() if one.get("figures")}}
        for entry in facts["structures"]
    ]


def table_of(found: list[tuple[str, str, str]], heading: str) -> Table:
    return Table([Column(name) for name in ("structure", "property", heading)], found)


def svg(content: Facts) -> str:
    """A figure of a property as an `<svg>` element in the colours of the page."""
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "properties"}):
        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        shown = set()
        for line in content["lines"]:
            by = line["by"]
            axes.plot(line["x"], line["y"], label=None if by in shown else by, **LINES[by])
            shown.add(by)
        values = {by: [y for line in content["lines"] if line["by"] == by for y in line["y"]] for by in LINES}
        low, high = min(map(min, values.values())), max(values["reference"])
        if max(values["model"]) > high + CEILING * (high - low):
            axes.set_ylim(top=high + (CEILING - 1) * (high - low))
        if content["ticks"]:
            places, labels = zip(*content["ticks"], strict=True)
            axes.set_xticks(places, labels)
            axes.grid(axis="x", linewidth=0.5, alpha=0.5)
        axes.set(xlabel=content["x"], ylabel=content["y"], title=content["name"])
        axes.legend(fontsize=9)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :].replace(INK, "currentColor")
