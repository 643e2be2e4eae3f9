"""What `mlip-design compare` prints."""

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from mlip_design.bsct.compare import Comparison, KeyComparison
from mlip_design.bsct.paired import N_RESAMPLES, Difference, Estimate

WIDTHS = (5, 16, 28, 10, 11, 9)
"""Characters of the columns of the comparison."""
SHOWN_SYSTEMS = 10
"""Systems named before the rest is counted."""


def print_comparison(comparison: Comparison) -> None:
    """Print the models, what they have more than the first by every key, and who is lower by the first key."""
    console = Console(highlight=False)
    lines = [f"{len(comparison.models)} models on {len(comparison.systems)} systems that all have"]
    lines += [f" {number:2}  {model}" for number, model in enumerate(comparison.models, start=1)]
    lines += [
        "\nMeans over systems ± half of their 95 % interval, lower is better; difference to",
        f"model 1 with its 95 % interval; in how many of {N_RESAMPLES:,} resamplings of the",
        "systems, and on how many systems, it is lower than model 1 (=n: equal on n)",
        *table_lines(comparison),
    ]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    if len(comparison.models) > 2:
        (key, found), *_ = comparison.keys.items()
        console.print(f"\n{key}: share of resamplings in which the row is lower than the column")
        console.print(certainty_table(found))
    left_out = [f"{name}: {why}" for name, why in comparison.not_compared.items()]
    if len(left_out) > SHOWN_SYSTEMS:
        left_out[SHOWN_SYSTEMS:] = [f"and {len(left_out) - SHOWN_SYSTEMS} more"]
    for heading, some in (("Not compared", left_out), ("Note", comparison.notes)):
        for line in [f"\n{heading}", *(f" {line}" for line in some)] if some else []:
            console.print(line, markup=False, soft_wrap=True)


def table_lines(comparison: Comparison) -> Iterator[str]:
    """For every key a line of its own, and one for every model."""
    yield ""
    yield columns("model", "mean", "difference to 1", "lower in", f"on of {len(comparison.systems)}", "verdict")
    for key, found in comparison.keys.items():
        digits = digits_of(found)
        zero = "" if found.zero is None else f"; zero forces {found.zero:.{digits}f}"
        yield f"{key}, {found.unit}{zero}"
        first, *others = found.paired.means
        yield columns("1", with_half(first, digits))
        for place, (mean, difference) in enumerate(zip(others, found.paired.differences, strict=True), start=2):
            share = found.paired.certainty[place - 1][0]
            yield columns(str(place), with_half(mean, digits), *difference_cells(difference, share, digits))


def columns(*cells: str) -> str:
    """Cells side by side, right-aligned."""
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=False))


def with_half(one: Estimate, digits: int) -> str:
    """A mean and half of its interval."""
    return f"{one.mean:.{digits}f} ± {(one.high - one.low) / 2:.{digits}f}"


def difference_cells(one: Difference, share: float, digits: int) -> list[str]:
    """A difference, how certain it is, and the verdict."""
    value = f"{one.mean:+.{digits}f} ({one.low:+.{digits}f} to {one.high:+.{digits}f})"
    counts = f"{one.lower} (={one.equal})" if one.equal else str(one.lower)
    return [value, f"{100 * share:.1f} %", counts, one.verdict]


def certainty_table(found: KeyComparison) -> Table:
    """Who is lower than whom."""
    models = range(len(found.paired.means))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("", *(str(model + 1) for model in models)):
        table.add_column(heading, justify="right")
    for row in models:
        cells = (
            f"{100 * found.paired.certainty[row][column]:.1f} %" if row != column else "" for column in models
        )
        table.add_row(str(row + 1), *cells)
    return table


def digits_of(found: KeyComparison) -> int:
    """Decimals that a key deserves."""
    return 1 if found.unit == "1/Å" else 3
