"""What `mlip-design compare` prints."""

from rich import box
from rich.console import Console
from rich.table import Table

from mlip_design.bsct.compare import Comparison, KeyComparison
from mlip_design.bsct.paired import N_RESAMPLES, Estimate

SHOWN_SYSTEMS = 10
"""Systems named before the rest is counted."""


def print_comparison(comparison: Comparison) -> None:
    """Print the models, their means, what they have more than the first, and who beats whom."""
    console = Console(highlight=False)
    said = f"{len(comparison.models)} models on {len(comparison.systems)} systems that all have"
    console.print(said, markup=False)
    for number, model in enumerate(comparison.models, start=1):
        console.print(f" {number:2}  {model}", markup=False, soft_wrap=True)
    console.print("\nMeans over systems ± half of their 95 % interval; lower is better")
    console.print(means_table(comparison))
    console.print(
        "\nWhat the others have more than model 1, with its 95 % interval; in how many of\n"
        f"{N_RESAMPLES:,} resamplings of the systems, and on how many systems, they are lower"
    )
    console.print(differences_table(comparison))
    if len(comparison.models) > 2:
        for key, found in comparison.keys.items():
            console.print(f"\n{key}: share of resamplings in which the row is lower than the column")
            console.print(certainty_table(found))
    lines = [f"{name}: {why}" for name, why in comparison.not_compared.items()]
    if len(lines) > SHOWN_SYSTEMS:
        lines[SHOWN_SYSTEMS:] = [f"and {len(lines) - SHOWN_SYSTEMS} more"]
    for heading, some in (("Not compared", lines), ("Note", comparison.notes)):
        if some:
            console.print(f"\n{heading}")
        for line in some:
            console.print(f" {line}", markup=False, soft_wrap=True)


def table_of(*headings: str) -> Table:
    """An empty table whose first column is text."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=True)
    return table


def means_table(comparison: Comparison) -> Table:
    """Every model by every key."""
    numbers = [str(number) for number in range(1, len(comparison.models) + 1)]
    table = table_of("key", "", "zero\nforces", *numbers)
    for key, found in comparison.keys.items():
        zero = "" if found.zero is None else f"{found.zero:.{digits_of(found)}f}"
        table.add_row(key, found.unit, zero, *(with_half(one, digits_of(found)) for one in found.paired.means))
    return table


def differences_table(comparison: Comparison) -> Table:
    """Every model but the first by every key."""
    table = table_of(
        "key", "model", "difference", "lower\nin", f"lower on\nof {len(comparison.systems)}", "verdict"
    )
    for key, found in comparison.keys.items():
        for place, one in enumerate(found.paired.differences):
            digits, share = digits_of(found), 100 * found.paired.certainty[place + 1][0]
            value = f"{one.mean:+.{digits}f} ({one.low:+.{digits}f} to {one.high:+.{digits}f})"
            on = f"{one.lower}, {one.equal} equal" if one.equal else str(one.lower)
            table.add_row(key if place == 0 else "", str(place + 2), value, f"{share:.1f} %", on, one.verdict)
    return table


def certainty_table(found: KeyComparison) -> Table:
    """Who is lower than whom."""
    models = range(len(found.paired.means))
    table = table_of("", *(str(model + 1) for model in models))
    for row in models:
        cells = (
            f"{100 * found.paired.certainty[row][column]:.1f} %" if row != column else "" for column in models
        )
        table.add_row(str(row + 1), *cells)
    return table


def with_half(one: Estimate, digits: int) -> str:
    """A mean and half of its interval."""
    return f"{one.mean:.{digits}f} ± {(one.high - one.low) / 2:.{digits}f}"


def digits_of(found: KeyComparison) -> int:
    """Decimals that a key deserves."""
    return 1 if found.unit == "1/Å" else 3
