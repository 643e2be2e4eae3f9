"""What `mlip-design probe` prints."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from mlip_design.bsct.probe.survey import Survey
from mlip_design.bsct.probe.walk import Walk

MOST_ROWS = 40
"""Discontinuities shown; the rest is counted, and in the JSON file."""


def print_surveys(surveys: Sequence[Survey], file: Path) -> None:
    """Print paths, jumps, kinks and symmetry of one or several structures of a file."""
    console = Console(highlight=False)
    walks = [(survey, walk) for survey in surveys for walk in survey.walks]
    console.print("\nPaths")
    console.print(paths_table(walks))
    for title, table in (
        ("Jumps", jumps_table(walks)),
        ("Kinks: jumps of the slope of forces", kinks_table(walks)),
    ):
        if table.row_count:
            console.print(f"\n{title}")
            console.print(table)
    for survey in surveys:
        for path, reason in survey.failures.items():
            console.print(
                f"not probed: {file}, frame {survey.name}, {path}: {reason}", soft_wrap=True, markup=False
            )
    console.print("\nSymmetry")
    console.print(symmetry_table(surveys))
    for line in conclusion(walks, surveys):
        console.print(line, soft_wrap=True, markup=False)


def new_table(*headings: str, words: int) -> Table:
    """A table whose first columns hold words, the others numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < words else "right", no_wrap=True)
    return table


def paths_table(walks: Sequence[tuple[Survey, Walk]]) -> Table:
    """A row a path: range, evaluations, what was found."""
    table = new_table("structure", "path", "range", "", "evaluations", "jumps", "kinks", words=2)
    for survey, walk in walks:
        path, probe = walk.path, walk.probe
        table.add_row(
            survey.name,
            path.name,
            f"{path.start:.3g} to {path.stop:.3g}",
            path.unit,
            f"{probe.n_evaluations:,}" + ("\nnot finished" if probe.exhausted else ""),
            *(str(len(found)) if found else "-" for found in (probe.jumps, probe.kinks)),
        )
    return table


def jumps_table(walks: Sequence[tuple[Survey, Walk]]) -> Table:
    """The largest jumps of forces first."""
    found = [(survey, walk, jump) for survey, walk in walks for jump in walk.probe.jumps]
    found.sort(key=lambda row: -row[2].force_jump)
    table = new_table("structure", "path", "at", "", "energy, eV", "forces, eV/Å", words=2)
    for survey, walk, jump in found[:MOST_ROWS]:
        sizes = [f"{size:.3g}" for size in (jump.energy_jump, jump.force_jump)]
        table.add_row(survey.name, walk.path.name, f"{jump.coordinate:.6f}", walk.path.unit, *sizes)
    if len(found) > MOST_ROWS:
        table.add_row(f"and {len(found) - MOST_ROWS} more")
    return table


def kinks_table(walks: Sequence[tuple[Survey, Walk]]) -> Table:
    """The largest kinks first."""
    found = [(survey, walk, kink) for survey, walk in walks for kink in walk.probe.kinks]
    found.sort(key=lambda row: -row[2].slope_jump)
    table = new_table("structure", "path", "at", "", "slope, eV/Å a unit", words=2)
    for survey, walk, kink in found[:MOST_ROWS]:
        place = f"{kink.coordinate:.6f}"
        table.add_row(survey.name, walk.path.name, place, walk.path.unit, f"{kink.slope_jump:.3g}")
    if len(found) > MOST_ROWS:
        table.add_row(f"and {len(found) - MOST_ROWS} more")
    return table


def symmetry_table(surveys: Sequence[Survey]) -> Table:
    """Jacobian asymmetry and rotation errors of every structure."""
    table = new_table(
        "structure", "Jacobian\nasymmetry", "rotation:\nenergy, eV", "rotation:\nforces, eV/Å", words=1
    )
    for survey in surveys:
        if (found := survey.symmetry) is not None:
            values = (found.jacobian_asymmetry, found.rotation_energy, found.rotation_forces)
            table.add_row(survey.name, *(f"{value:.1e}" for value in values))
    return table


def conclusion(walks: Sequence[tuple[Survey, Walk]], surveys: Sequence[Survey]) -> list[str]:
    """How many jumps there are, and what would not have been seen."""
    probes = [walk.probe for _, walk in walks]
    jumps, kinks = (
        counted(sum(len(getattr(probe, f"{what}s")) for probe in probes), what) for what in ("jump", "kink")
    )
    walked = f"{counted(len(probes), 'path')} of {counted(len(surveys), 'structure')}"
    evaluations = counted(sum(probe.n_evaluations for probe in probes), "evaluation")
    lines = [f"\n{jumps} and {kinks} along {walked}, {evaluations}"]
    if probes:
        floors = [max(getattr(p, name) for p in probes) for name in ("energy_floor", "force_floor", "slope_floor")]
        energy, force, slope = (f"{floor:.1e}" for floor in floors)
        lines.append(f"not seen: jumps below {energy} eV and {force} eV/Å, kinks below {slope} eV/Å a unit")
    if any(probe.exhausted for probe in probes):
        lines.append("not finished: the evaluations ran out on some paths; raise --max-evaluations")
    return lines


def counted(count: int, what: str) -> str:
    """`1 jump`, `2 jumps`, `no jumps`."""
    number = f"{count:,}" if count else "no"
    return f"{number} {what}" if count == 1 else f"{number} {what}s"
