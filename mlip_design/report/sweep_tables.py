"""Tables of the page of a sweep: variants, their runs, the picks on other data, what was left out."""

import os
from pathlib import Path
from urllib.parse import quote

from mlip_design.report.table import Column, Table, anchor
from mlip_design.selection.quantities import quantity
from mlip_design.selection.selection import Selection

COST = ("cost/seconds_per_step", "cost/parameters")


def column(metric: str) -> Column:
    """The column of a metric, in the unit that people read."""
    written = quantity(metric)
    return Column(written.name, written.unit, 3 if written.digits is None else written.digits)


def variants(selection: Selection, links: dict[str, str]) -> Table:
    """Every variant with its means over seeds and half of their 95 % intervals; its name opens its first run."""
    metrics = tuple(dict.fromkeys((*selection.objectives, *selection.held_out, *COST)))
    several = any(len(variant.runs) > 1 for variant in selection.variants)
    spread = selection.objectives if several else ()
    columns = [Column("no.", digits=0), Column("variant"), Column("marks"), Column("seeds", digits=0)]
    for metric in metrics:
        shown = column(metric)
        columns += [shown, Column("±", shown.unit, shown.digits)] if metric in spread else [shown]
    rows = []
    for variant in selection.variants:
        name = anchor(links[str(variant.runs[0].folder)], variant.label)
        row = [selection.place(variant.label), name, marks(selection, variant.label), len(variant.runs)]
        for metric in metrics:
            factor = quantity(metric).factor
            row.append(variant.mean(metric) * factor)
            if metric in spread:
                one = variant.metrics[metric]
                row.append(None if one.high is None else (one.high - one.mean) * factor)
        beaters = [str(selection.place(label)) for label in selection.beaten_by.get(variant.label, ())]
        rows.append([*row, ", ".join(beaters)])
    return Table([*columns, Column("beaten by")], rows, can_filter=True)


def marks(selection: Selection, label: str) -> str:
    """Words that a reader filters by: on the front, picked by a rule, with a warning."""
    words = ["front"] if label in selection.front else []
    words += [rule for rule, pick in selection.picks.items() if label in pick.variants and rule != "pareto"]
    return " ".join(words + (["warning"] if label in selection.warnings else []))


def all_runs(selection: Selection, links: dict[str, str]) -> Table:
    """Every compared run; its folder opens it."""
    metrics = (*selection.objectives, *selection.held_out)
    rows = [
        [
            anchor(links[str(run.folder)], run.folder.name),
            selection.place(variant.label),
            variant.label,
            run.seed,
            *(run.value(metric) * quantity(metric).factor for metric in metrics),
        ]
        for variant in selection.variants
        for run in variant.runs
    ]
    heads = [Column("folder"), Column("no.", digits=0), Column("variant"), Column("seed", digits=0)]
    return Table([*heads, *map(column, metrics)], rows, can_filter=True)


def held_out(selection: Selection) -> Table:
    """The picks by what chose them and on data that did not, with their places among all variants."""
    metrics = (*selection.objectives, *selection.held_out)
    columns = [Column("no.", digits=0), Column("picked by")]
    for metric in metrics:
        columns += [column(metric), Column("place", digits=0)]
    rows = []
    for label in dict.fromkeys(label for pick in selection.picks.values() for label in pick.variants):
        rules = ", ".join(rule for rule, pick in selection.picks.items() if label in pick.variants)
        row = [selection.place(label), rules]
        for metric in metrics:
            row += [selection[label].mean(metric) * quantity(metric).factor, selection.ranks[label][metric]]
        rows.append(row)
    return Table(columns, rows if selection.held_out else [])


def left_out(selection: Selection, folder: Path) -> Table:
    """Runs in `folder` that are not compared, and why."""
    rows = [
        [anchor(quote(os.path.relpath(path, folder)), os.path.relpath(path, folder)), why]
        for path, why in selection.left_out.items()
    ]
    return Table([Column("folder or file"), Column("why")], rows, can_filter=True)
