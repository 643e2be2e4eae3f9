"""What `mlip-design build-scans` prints: systems by group, frames without a label, what was left out and why."""

from collections import Counter
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table


def print_build(out: Path, result: dict) -> None:
    """Print what `build_scans` returned."""
    console = Console(highlight=False)
    systems = result["systems"]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("scans of")
    for heading in ("systems", "frames", "without a label"):
        table.add_column(heading, justify="right")
    for group in sorted({name.partition("/")[0] for name in systems}):
        table.add_row(*row(group, [system for name, system in systems.items() if name.startswith(f"{group}/")]))
    if systems:
        table.add_section()
    table.add_row(*row("all", list(systems.values())))
    console.print(table)
    failures = sum((Counter(system["failures"]) for system in systems.values()), Counter())
    print_counts(console, "Frames without a label", failures)
    reasons = Counter(f"{entry['group']}: {entry['reason']}" for entry in result["left_out"])
    print_counts(console, "Left out", reasons)
    console.print(f"\nscans   {out}", markup=False, soft_wrap=True)


def row(name: str, systems: list[dict]) -> list[str]:
    """Cells of a group: its name, how many systems, frames, frames without a label."""
    frames, missing = (sum(system[key] for system in systems) for key in ("frames", "without_label"))
    return [name, f"{len(systems):,}", f"{frames:,}", f"{missing:,}"]


def print_counts(console: Console, heading: str, counts: Counter) -> None:
    """A heading and how often each line, most frequent first; nothing if there are none."""
    if counts:
        console.print(f"\n{heading}")
    for text, count in counts.most_common():
        console.print(f"{count:6d}  {text}", markup=False, soft_wrap=True)
