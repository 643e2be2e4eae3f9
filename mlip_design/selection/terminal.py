"""What `mlip-design select` and `mlip-design finalists` print."""

from collections.abc import Iterable, Sequence
from textwrap import fill

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlip_design.selection.comparable import plural
from mlip_design.selection.finalists import N_RESAMPLES, Confirmation, Difference
from mlip_design.selection.picks import RULES
from mlip_design.selection.quantities import quantity
from mlip_design.selection.selection import Selection
from mlip_design.selection.statistics import Estimate

MOST_NAMED = 4
"""Variants named in a cell before the rest is counted."""
INDENT = 10
"""Characters before the reason of a pick."""


def print_selection(selection: Selection, rules: Sequence[str] = RULES) -> None:
    """Print a comparison with the picks of some rules."""
    console = Console(highlight=False)
    n_runs = selection.n_runs + len(selection.left_out)
    said = f"{plural(len(selection.variants), 'variant')}, {selection.n_runs} of {plural(n_runs, 'run')}"
    common = " ".join(f"{key}={value}" for key, value in selection.shared.items())
    console.print(f"{said}; all with {common}" if common else said, markup=False, soft_wrap=True)
    console.print(variants_table(selection))
    console.print("* front: no other is better in one without being worse in another   ! has a warning")
    print_section(console, "Warnings", warning_lines(selection))
    print_picks(console, selection, rules)
    if selection.held_out:
        among = f"place among the {len(selection.variants)}"
        console.print(f"\nThe picks by what chose them and on other data (test: best epoch; {among})")
        console.print(held_out_table(selection, rules))
    commands = (
        f"{selection.place(label):3}  {selection[label].command}" for label in all_picked(selection, rules)
    )
    print_section(console, "To train a pick again", commands)
    names = f"{quantity(selection.x).name} and {quantity(selection.y).name}"
    print_section(console, f"The objectives {names}", objective_lines(selection))
    if selection.importance:
        console.print("\nShare of the variance that goes with a choice (epsilon squared, other choices ignored)")
        console.print(importance_table(selection))
    print_section(console, "Left out", (f"{folder}: {why}" for folder, why in selection.left_out.items()))
    print_section(console, "Note", selection.notes)


def print_section(console: Console, heading: str, lines: Iterable[str]) -> None:
    """A heading and its lines, or nothing if there are none."""
    lines = list(lines)
    if lines:
        console.print(f"\n{heading}")
    for line in lines:
        console.print(f" {line}", markup=False, soft_wrap=True)


def variants_table(selection: Selection) -> Table:
    """All variants, with the number by which the rest of the output calls them."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("", justify="right")
    table.add_column("variant", overflow="fold")
    for heading in ("seeds", *(quantity(name).heading.replace(", ", "\n") for name in selection.objectives)):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("beaten by", no_wrap=True)
    for place, variant in enumerate(selection.variants, start=1):
        marks = "*" if variant.label in selection.front else ""
        marks += "!" if variant.label in selection.warnings else ""
        values = [with_interval(variant.metrics[name], name) for name in selection.objectives]
        beaters = named(selection, selection.beaten_by.get(variant.label, ()))
        table.add_row(
            f"{marks:2}{place:3}", Text(variant.label, overflow="fold"), str(len(variant.runs)), *values, beaters
        )
    return table


def with_interval(value: Estimate, name: str) -> str:
    """A mean and half of its 95 % interval."""
    written = quantity(name)
    half = "" if value.low is None else f" ± {written.number(value.high - value.mean)}"
    return f"{written.number(value.mean)}{half}"


def named(selection: Selection, labels: Sequence[str]) -> str:
    """Variants by their numbers; many are counted."""
    places = [str(selection.place(label)) for label in labels]
    rest = len(places) - MOST_NAMED
    return ", ".join(places[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def warning_lines(selection: Selection) -> Iterable[str]:
    """Every warning after the number of its variant."""
    for label, warnings in selection.warnings.items():
        yield from (f"{selection.place(label):3}  {warning}" for warning in warnings)


def print_picks(console: Console, selection: Selection, rules: Sequence[str]) -> None:
    """What every rule picks and why."""
    console.print("\nPicks")
    for rule in rules:
        pick = selection.picks[rule]
        reason = fill(pick.reason, console.width, initial_indent=f" {rule:9}", subsequent_indent=" " * INDENT)
        console.print(reason, markup=False)
        for label in pick.variants:
            console.print(f"{selection.place(label):{INDENT + 2}}  {label}", markup=False, soft_wrap=True)


def all_picked(selection: Selection, rules: Sequence[str]) -> list[str]:
    """Everything that any of the rules picks."""
    return list(dict.fromkeys(label for rule in rules for label in selection.picks[rule].variants))


def held_out_table(selection: Selection, rules: Sequence[str]) -> Table:
    """The objectives of what was picked, beside the same on other data."""
    by_kind = {name: name.partition("/")[2] for name in (*selection.objectives, *selection.held_out)}
    kinds = dict.fromkeys(by_kind.values())
    metrics = [name for kind in kinds for name in by_kind if by_kind[name] == kind]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("", justify="right")
    for metric in metrics:
        table.add_column(quantity(metric).heading.replace(", ", "\n"), justify="right")
    for label in all_picked(selection, rules):
        ranks, variant = selection.ranks[label], selection[label]
        cells = [f"{quantity(name).number(variant.mean(name))} ({ranks[name]})" for name in metrics]
        table.add_row(str(selection.place(label)), *cells)
    return table


def objective_lines(selection: Selection) -> Iterable[str]:
    """Hypervolume of the front, and whether the objectives rank the variants alike."""
    corner = [(quantity(name).text(one.value), one.meaning) for name, one in selection.references.items()]
    rectangle = 1.0
    for one in selection.references.values():
        rectangle *= one.value
    share = f", {100 * selection.hypervolume / rectangle:.1f} % of the rectangle from zero" if rectangle else ""
    yield f"hypervolume of the front {selection.hypervolume:.4g}{share} to its corner,"
    yield f"{' and '.join(f'{value} ({meaning})' for value, meaning in corner)}"
    found = selection.correlation
    if found is None:
        yield "rank correlation unknown: fewer than four variants, or an objective that is the same for all"
    else:
        yield f"rank correlation {found.rho:.2f} (95 %: {found.low:.2f} to {found.high:.2f}) over {found.n} variants"


def importance_table(selection: Selection) -> Table:
    """Choices by their largest share."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("choice")
    for name in (selection.x, selection.y):
        table.add_column(quantity(name).name, justify="right")
    shares = selection.importance.items()
    for choice, row in sorted(shares, key=lambda item: -max(value or 0 for value in item[1].values())):
        table.add_row(choice, *("unknown" if value is None else f"{100 * value:.0f} %" for value in row.values()))
    return table


def print_confirmations(before: Selection, after: Selection, confirmations: Sequence[Confirmation]) -> None:
    """Print the finalists with fresh seeds, and what became of the picks of the selection before."""
    console = Console(highlight=False)
    console.print("\nThe finalists by seeds that took no part in the choice: mean ± half of its 95 % interval")
    console.print(variants_table(after))
    print_section(console, "Warnings", warning_lines(after))
    for found in confirmations:
        console.print(f"\n{found.rule}: {verdict(found)}", markup=False, soft_wrap=True)
        if found.differences:
            console.print(" What the others have more than it (95 % interval), and how often the rule picks each")
            console.print(confirmation_table(found, before))
    print_section(console, "Left out", (f"{folder}: {why}" for folder, why in after.left_out.items()))


def verdict(found: Confirmation) -> str:
    """Whether a pick holds, in words."""
    if found.before is None:
        return f"there was no pick; by fresh seeds {found.after or 'none either'}"
    share = f"in {100 * found.shares.get(found.before, 0):.0f} % of {N_RESAMPLES} resamplings of the seeds"
    if found.holds:
        return f"{found.before} holds; picked {share}"
    return (
        f"{found.before} does not hold: by fresh seeds it is {found.after or 'none'}; the former is picked {share}"
    )


def confirmation_table(found: Confirmation, before: Selection) -> Table:
    """Every finalist against the pick."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("variant", overflow="fold")
    for name in (before.x, before.y):
        table.add_column(quantity(name).heading.replace(", ", "\n"), justify="right", no_wrap=True)
    table.add_column("picked", justify="right")
    for label, share in found.shares.items():
        cells = (
            [signed(found.differences[label][name], name) for name in (before.x, before.y)]
            if label != found.before
            else ["", ""]
        )
        table.add_row(Text(label, overflow="fold"), *cells, f"{100 * share:.0f} %")
    return table


def signed(value: Difference, name: str) -> str:
    """A difference with its interval."""
    written = quantity(name)
    sign = "+" if value.mean > 0 else ""
    interval = "" if value.low is None else f" ({written.number(value.low)} to {written.number(value.high)})"
    return f"{sign}{written.number(value.mean)}{interval}"
