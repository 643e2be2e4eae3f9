"""What became of a trial, as its run folder says."""

import csv
from pathlib import Path

from mlip_design.selection.runs import Run, read_run

GIVEN_UP = ("hopeless", "out of time")
"""How the reason of a run begins that was stopped by a rule, not by a signal."""


def recorded(folder: Path) -> Run | None:
    """The record of the run in a folder, if there is one. Raises ValueError naming a file that cannot be read."""
    file = folder / "results.json"
    if not file.exists():
        return None
    try:
        return read_run(file)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def is_over(run: Run | None) -> bool:
    """Whether a run came to an end, good or bad; otherwise it is to be begun, or continued."""
    if run is None:
        return False
    return run.status != "stopped" or (run.reason or "").startswith(GIVEN_UP)


def history(folder: Path) -> list[dict[str, float]]:
    """The rows of the metrics.csv of a run, one a validation; cells that hold no number are left out."""
    try:
        with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
            return [{key: float(cell) for key, cell in row.items() if cell} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError):
        return []
