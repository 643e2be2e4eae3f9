"""`report.html` of a run: accuracy and smoothness over epochs, scans then and now, worst cases, cost, configuration."""

import base64
import csv
import re
import shlex
from pathlib import Path

from mlip_design.report.curves import curves_svg
from mlip_design.report.page import write_page
from mlip_design.report.run_tables import accuracy, cost, evaluated, scans, smoothness, tiles
from mlip_design.selection.runs import read_run

N_FIGURES = 3
"""Scans shown of an evaluation at most, worst first; a figure takes some 0.15 MB."""


def write_run_page(folder: Path) -> Path:
    """Write `report.html` into a run folder from the files in it; returns its path.

    Raises ValueError or OSError if its `results.json` cannot be read; other files may be missing.
    """
    run = read_run(folder / "results.json")
    history = read_rows(folder / "metrics.csv")
    splits = evaluated(run, "val")
    zero_forces = {split: run.data[split]["mean_absolute_force"] for split in splits}
    return write_page(
        folder / "report.html",
        "run.html",
        run=run,
        title=" ".join(f"{key}={value}" for key, value in run.choices.items()) or "default model",
        tiles=tiles(run),
        curves=curves_svg(history, zero_forces) if history else "",
        accuracy=accuracy(run),
        smoothness=smoothness(run, history),
        figures={stage: figures(folder, stage) for stage in ("val", "test")},
        scans={stage: scans(read_rows(folder / f"scans_{stage}.csv")) for stage in ("val", "test")},
        cost=cost(run),
        command=shlex.join(["python", "train.py", *run.overrides]),
        config=read_text(folder / "config.yaml"),
    )


def read_rows(path: Path) -> list[dict[str, float | str]]:
    """The rows of a CSV file, numbers as numbers, without empty cells; no rows if there is no file."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: number_or_text(cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]


def number_or_text(cell: str) -> float | str:
    """A cell as a number if it is one."""
    try:
        return float(cell)
    except ValueError:
        return cell


def read_text(path: Path) -> str:
    """The content of a file, or nothing if there is none."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def figures(folder: Path, stage: str) -> list[tuple[str, str]]:
    """The worst scans of the last evaluation of a stage that was drawn: name and content as a data URI."""
    pattern = "figures/test" if stage == "test" else "figures/val_epoch_*"
    moments = sorted(folder.glob(pattern), key=lambda path: int(re.sub(r"\D", "", path.name) or 0))
    if not moments:
        return []
    paths = sorted(moments[-1].glob("worst_*.png"), key=lambda path: int(path.name.split("_")[1]))[:N_FIGURES]
    return [
        (
            f"{moments[-1].name}/{path.name}",
            "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode(),
        )
        for path in paths
    ]
