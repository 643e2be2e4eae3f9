"""What `mlip-design bsct` prints."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from mlip_design.bsct.score import leading

REGIONS = {
    "full": "full",
    "compress": "compressed",
    "stretch": "stretched",
    "windowed": "windowed",
    "stress": "of stress",
}
"""What stands before smoothness in a key -> what it is called."""
STATISTICS = ("mean", "95 % interval", "median", "95th\npercentile", "zero\nforces")
SHOWN_SYSTEMS = 10
"""Systems named before the rest is counted."""


def print_result(facts: Mapping[str, Any], out: Path | None) -> None:
    """Print a result. facts: content of `result.json`; out: the folder it was written to, if any."""
    console = Console(highlight=False)
    model, data = facts["model"], facts["data"]
    n_systems = data["systems"] + len(data["left_out"])
    name = " ".join([model["name"], *model["arguments"], *([model["dtype"]] if model["dtype"] else [])])
    said = f"{name}: {facts['count']} of {n_systems} systems of {data['root']}, {data['frames']:,} frames"
    console.print(said, markup=False, soft_wrap=True)
    if facts["count"]:
        console.print("\nSmoothness: FSD, 1/Å (windowed: not within 0.1 Å of equilibrium)")
        console.print(smoothness_table(facts["keys"]))
        console.print("\nMean absolute errors: forces, eV/Å; energies, eV (aligned: without median offset)")
        console.print(error_table(facts["keys"]))
        volumes = "; FSD of volumes: of their stress" if "stress_smoothness" in facts["keys"] else ""
        console.print(f"\nBy bond type: means over systems{volumes}")
        console.print(bond_table(facts["bonds"]))
        console.print("\nFSD by floor of the formula, eV/Å, and by frames (in brackets: zero forces)")
        console.print(sensitivity_table(facts["sensitivity"]))
        print_lines(console, "The same of the stress of volumes", stress_lines(facts["sensitivity"]))
        print_lines(console, "Beyond the score", other_lines(facts))
        worst = ((name, facts["systems"][name]) for name in facts["worst"])
        print_lines(
            console,
            "Worst systems: FSD, 1/Å, and where it is from equilibrium, Å",
            (f"{leading(s):8.1f} {s['steepest'] - s['equilibrium']:+7.2f}  {name}" for name, s in worst),
        )
    print_lines(console, "Warnings", facts["warnings"])
    print_lines(console, "Left out", named(data["left_out"]))
    print_lines(console, "No usable prediction", named(facts["failed"]))
    if out is not None:
        console.print(f"\nresult  {out}: report.html, result.json, predictions.npz", markup=False, soft_wrap=True)


def print_lines(console: Console, heading: str, lines: Iterable[str]) -> None:
    """A heading and its lines, or nothing if there are none."""
    lines = list(lines)
    if lines:
        console.print(f"\n{heading}", markup=False)
    for line in lines:
        console.print(f" {line}", markup=False, soft_wrap=True)


def named(reasons: Mapping[str, str]) -> Iterable[str]:
    """The first systems with their reasons; the rest is counted."""
    yield from (f"{name}: {reason}" for name, reason in list(reasons.items())[:SHOWN_SYSTEMS])
    if len(reasons) > SHOWN_SYSTEMS:
        yield f"and {len(reasons) - SHOWN_SYSTEMS} more"


def table_of(*headings: str) -> Table:
    """An empty table whose first column is text."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=True)
    return table


def smoothness_table(keys: Mapping[str, Mapping[str, Any]]) -> Table:
    """Statistics of every region."""
    table = table_of("region", *STATISTICS)
    for region, label in regions(keys).items():
        table.add_row(label, *statistics_cells(keys[f"{region}_smoothness"], 1))
    return table


def regions(keys: Mapping[str, Any]) -> dict[str, str]:
    """Those of `REGIONS` that are among some keys."""
    return {region: label for region, label in REGIONS.items() if f"{region}_smoothness" in keys}


def error_table(keys: Mapping[str, Mapping[str, Any]]) -> Table:
    """Errors of forces (eV/Å) and energies (eV), and of the stress (meV/Å^3) where there is one."""
    table = table_of("error", *STATISTICS)
    for region in ("full", "compress", "stretch"):
        table.add_row(f"forces, {REGIONS[region]}", *statistics_cells(keys[f"{region}_forces_mae"], 3))
    table.add_row("energy", *statistics_cells(keys["full_energy_mae"], 3))
    table.add_row("energy, aligned", *statistics_cells(keys["aligned_energy_mae"], 3))
    if "stress_mae" in keys:
        table.add_row("stress, meV/Å³", *statistics_cells(keys["stress_mae"], 2, 1000))
    return table


def statistics_cells(found: Mapping[str, Any], digits: int, factor: float = 1) -> list[str]:
    """Cells after the first of one key, whose values are multiplied by a factor."""
    ends = found["interval"]
    interval = "" if ends is None else "–".join(number(value, digits, factor) for value in ends)
    mean, *others = (number(found[name], digits, factor) for name in ("mean", "median", "percentile_95", "zero"))
    return [mean, interval, *others]


def number(value: float | None, digits: int, factor: float = 1) -> str:
    """With fixed decimals while it is small; nothing for None."""
    if value is None:
        return ""
    value = factor * value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def bond_table(bonds: Mapping[str, Mapping[str, Any]]) -> Table:
    """Every bond type on its own; the FSD of volumes is that of the stress."""
    table = table_of(
        "bond", "systems", "FSD\n1/Å", "95 %\ninterval", "zero forces\n1/Å", "windowed\n1/Å", "force MAE\neV/Å"
    )
    for bond, found in bonds.items():
        windowed, forces = (found["keys"][key] for key in ("windowed_smoothness", "full_forces_mae"))
        mean, interval, *_, zero = statistics_cells(leading(found["keys"]), 1)
        table.add_row(
            bond, str(found["count"]), mean, interval, zero, f"{windowed['mean']:.1f}", f"{forces['mean']:.3f}"
        )
    return table


def sensitivity_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The mean of every region for every choice."""
    shown = [region for region in REGIONS if region != "stress"]
    table = table_of("floor", *(REGIONS[region] for region in shown))
    for row in rows:
        label = floor_label(row)
        table.add_row(
            label,
            *(f"{number(row[f'{r}_smoothness'], 1)} ({number(row[f'zero_{r}_smoothness'], 1)})" for r in shown),
        )
    return table


def floor_label(row: Mapping[str, Any]) -> str:
    """What is chosen in a row of the sensitivity."""
    return f"{row['floor']:g}" + (", every 2nd" if row["every"] == 2 else "")


def stress_lines(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """The mean FSD of the stress for every choice, if there is one."""
    for row in rows:
        if "stress_smoothness" in row:
            mean, zero = (number(row[f"{prefix}stress_smoothness"], 1) for prefix in ("", "zero_"))
            yield f"{floor_label(row):12} {mean:>9} ({zero})"


def other_lines(facts: Mapping[str, Any]) -> Iterable[str]:
    """Where the FSD sits, artificial minima, and work against energy."""
    for row in facts["near_equilibrium"]:
        share = f"{100 * row['share']:.0f} % of systems (zero forces: {100 * row['zero_share']:.0f} %)"
        yield f"the steepest interval lies within {row['within']:g} Å of equilibrium in {share}"
    minima = facts["minima"]
    deepest = "" if minima["deepest"] is None else f", the deepest {minima['deepest']:.3f} eV"
    found = f"{minima['artificial']} in {minima['systems']} systems{deepest}"
    yield f"minima of the energy beyond those of the reference, deeper than {minima['threshold']:g} eV: {found}"
    work = facts["conservation"]
    model, reference = (
        f"mean {work[f'{name}_mean']:.3f}, largest {work[f'{name}_max']:.3f} eV" for name in ("model", "reference")
    )
    yield f"energy against the work of the forces: {model} (reference: {reference})"
