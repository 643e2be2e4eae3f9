"""What `mlip-design eval` prints."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Printed

from mlip_design.report import eval_tables
from mlip_design.report.table import Table

SHOWN_GROUPS, SHOWN_WORST, SHOWN_REASONS = 10, 5, 5
LEFT_OUT_COLUMNS = {
    "structures",
    "energy RMSE",
    "shifted RMSE",
    "largest force error",
    "stress RMSE",
    "zero stress: MAE",
}
"""Those of the page that a terminal of 80 columns has no room for."""


def print_evaluation(facts: Mapping[str, Any]) -> None:
    """Print errors by group and element, the worst structures, and what has no prediction."""
    console = Console(highlight=False)
    said = f"{facts['model']}: {facts['predicted']:,} structures of {facts['source']}"
    console.print(said, markup=False, soft_wrap=True)
    if eval_tables.shown(facts):
        console.print("\nEnergies per atom (shifted: less an energy of each element), forces by component")
        console.print(overall_table(facts["errors"]))
        if eval_tables.has_groups(facts):
            console.print()
            worst = sorted(facts["groups"], key=lambda name: -(facts["groups"][name]["forces_mae"] or 0.0))
            shown = {name: facts["groups"][name] for name in worst[:SHOWN_GROUPS]}
            console.print(printed(eval_tables.groups({**facts, "groups": shown})))
            if len(worst) > SHOWN_GROUPS:
                console.print(f" and {len(worst) - SHOWN_GROUPS:,} more with smaller force errors")
        console.print()
        console.print(printed(eval_tables.elements(facts)))
        print_lines(console, "Worst: error of a force, eV/Å; of the shifted energy, meV/atom", worst_lines(facts))
    elif facts["predicted"]:
        console.print("no labels to compare with")
    print_lines(console, "Without a prediction", reason_lines(facts["failed"]))
    print_lines(console, "Left out", reason_lines(facts["left_out"]))


def overall_table(errors: Mapping[str, Any]) -> Printed:
    """Mean absolute, root mean square and largest error of everything that has labels."""
    table = Printed(box=box.SIMPLE_HEAD, show_edge=False)
    for place, heading in enumerate(("", "unit", "MAE", "RMSE", "largest", "MAE of zero")):
        table.add_column(heading, justify="left" if place < 2 else "right")
    for label, name, ending, unit, zero in (
        ("energy", "energy", "_per_atom", "meV/atom", None),
        ("energy, shifted", "shifted_energy", "_per_atom", "meV/atom", None),
        ("forces", "forces", "", "meV/Å", "mean_absolute_force"),
        ("stress", "stress", "", "meV/Å³", "mean_absolute_stress"),
    ):
        if errors[f"{name}_mae{ending}"] is not None:
            found = [errors[f"{name}_{kind}{ending}"] for kind in ("mae", "rmse", "max")]
            cells = [f"{1000 * value:,.2f}" for value in [*found, *([errors[zero]] if zero else [])]]
            table.add_row(label, unit, *cells)
    return table


def printed(table: Table) -> Printed:
    """A table of the page without the columns that there is no room for."""
    made = Printed(box=box.SIMPLE_HEAD, show_edge=False)
    places = [i for i, column in enumerate(table.columns) if column.heading not in LEFT_OUT_COLUMNS]
    for column in (table.columns[i] for i in places):
        heading = f"{column.heading.replace(': ', chr(10))}\n{column.unit}" if column.unit else column.heading
        made.add_column(heading, justify="right" if column.is_number else "left")
    for row in table.rows:
        made.add_row(*(table.columns[i].text(row[i]) for i in places))
    return made


def worst_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """The first of the worst structures."""
    for one in facts["worst"][:SHOWN_WORST]:
        force, energy = one["largest_force_error"], one["shifted_energy_error_per_atom"]
        cells = "–" if force is None else f"{force:.3f}", "–" if energy is None else f"{1000 * energy:+.1f}"
        yield f"{cells[0]:>8} {cells[1]:>8}  {one['formula']}  {one['name']}"


def reason_lines(found: Mapping[str, str]) -> Iterator[str]:
    """The first with their reasons; the rest is counted."""
    yield from (f"{name}: {reason}" for name, reason in list(found.items())[:SHOWN_REASONS])
    if len(found) > SHOWN_REASONS:
        yield f"and {len(found) - SHOWN_REASONS:,} more"


def print_lines(console: Console, heading: str, lines: Iterator[str]) -> None:
    """A heading and its lines, or nothing if there are none."""
    for number, line in enumerate(lines):
        if number == 0:
            console.print(f"\n{heading}", markup=False)
        console.print(f" {line}", markup=False, soft_wrap=True)
