"""What `mlip-design properties` prints: all quantities by structure, means, notes, and what failed."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from mlip_design.report.properties_tables import HEADINGS, Facts, mean_rows, messages, rows

WIDTHS = ((11, True), (30, True), (9, False), (9, False), (9, False))
"""Least number of characters of a column, so that the tables stand in line, and whether it holds text."""


def print_properties(facts: Facts, out: Path | None) -> None:
    """Print the content of `properties.json`; out: the folder it was written to."""
    console = Console(highlight=False)
    for structure, found in groupby(rows(facts), key=itemgetter(0)):
        console.print(f"\n{structure}", markup=False, soft_wrap=True)
        console.print(table_of(HEADINGS[1:], [cells[1:] for cells in found]))
    if len(facts["structures"]) > 1 and facts["means"]:
        print_means(console, facts)
    for heading, key in (("Notes", "notes"), ("Failed", "failed")):
        print_messages(console, heading, messages(facts, key))
    counts = facts["counts"]
    line = f"\n{counts['done']} computed ({facts['from_cache']} of them before), {counts['left out']} not applicable, "
    console.print(f"{line}{counts['failed']} failed")
    if out is not None:
        console.print(f"page  {out / 'report.html'}", markup=False, soft_wrap=True)


def print_means(console: Console, facts: Facts) -> None:
    """Mean absolute errors."""
    console.print("\nMean absolute errors")
    console.print(table_of(("property", "quantity", "error", "values"), list(mean_rows(facts))))


def table_of(headings: Sequence[str], found: Sequence[list[str]]) -> Table:
    """Rows whose first cell is shown where it changes."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for heading, (width, is_text) in zip(headings, WIDTHS, strict=False):
        table.add_column(heading, min_width=width, justify="left" if is_text else "right", overflow="fold")
    before = ""
    for first, *others in found:
        table.add_row("" if first == before else first, *others)
        before = first
    return table


def print_messages(console: Console, heading: str, found: list[tuple[str, str, str]]) -> None:
    """A heading and a line each; nothing if there are none."""
    if found:
        console.print(f"\n{heading}")
    for structure, name, sentence in found:
        console.print(f"  {structure}, {name}: {sentence}", markup=False, soft_wrap=True)
