"""What `mlip-design watch` shows: the trials of a folder as their records stand now."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mlip_design.selection.comparable import plural
from mlip_design.selection.pareto import front
from mlip_design.selection.quantities import quantity
from mlip_design.selection.runs import Run, check_metric, load_runs
from mlip_design.selection.variants import differing_choices, label
from mlip_design.sweep.record import history

UNFINISHED = "still running or killed"
"""How the reason in the record of a run begins that nothing has ended."""
PATIENCE = 5
"""Epochs, and minutes, without a word after which a run no longer counts as running."""


@dataclass(frozen=True)
class Trial:
    """A run and how far it is."""

    run: Run
    epochs: int
    """Epochs done."""
    seconds: float
    """Wall time until the end of the last of them."""
    silence: float
    """Seconds since its record was written."""

    @property
    def state(self) -> str:
        """running, silent (it may have been killed), or the status of its record."""
        if self.run.status != "stopped" or not (self.run.reason or "").startswith(UNFINISHED):
            return self.run.status
        is_heard = self.silence < PATIENCE * max(60.0, self.seconds / max(self.epochs, 1))
        return "running" if is_heard else f"silent {duration(self.silence)}"

    @property
    def left(self) -> float:
        """Seconds until it is done, if all epochs are alike; NaN if it does not run, or no epoch is done."""
        if self.state != "running" or not self.epochs:
            return math.nan
        expected = self.seconds / self.epochs * (self.run.budget["epochs"] - self.epochs)
        return max(0.0, expected - self.silence)


def read_trials(folder: Path) -> tuple[list[Trial], list[Path]]:
    """Every run below a folder, and the records that cannot be read. Raises ValueError if there is no such folder."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    if not next(folder.rglob("results.json"), None):
        return [], []
    trials = []
    runs, unreadable = load_runs([folder])
    for run in runs:
        rows = history(run.folder)
        silence = time.time() - (run.folder / "results.json").stat().st_mtime
        trials.append(
            Trial(run, len({row["epoch"] for row in rows}), rows[-1]["seconds"] if rows else 0.0, silence)
        )
    return trials, list(unreadable)


def watch(folder: Path, objectives: Sequence[str], every: float | None) -> None:
    """Show the trials below a folder: once, or on a terminal again every so many seconds until Ctrl-C."""
    console = Console(highlight=False)
    shown = view(folder, objectives)
    if every is None or not console.is_terminal:
        console.print(shown)
        return
    with Live(shown, console=console, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(every)
                live.update(view(folder, objectives), refresh=True)
        except KeyboardInterrupt:
            return


def view(folder: Path, objectives: Sequence[str]) -> Group:
    """The table of trials and a line that counts them. Raises ValueError for a metric that no finished run has."""
    trials, unreadable = read_trials(folder)
    finished = [trial.run for trial in trials if trial.run.finished]
    if finished:
        for name in objectives:
            check_metric(name, finished)
    on_front = front_so_far(finished, objectives)
    lines = [summary(folder, trials, on_front), *(f"cannot be read: {file}" for file in unreadable)]
    return Group(trials_table(folder, trials, on_front, objectives), Text("\n" + "\n".join(lines)))


def front_so_far(runs: list[Run], objectives: Sequence[str]) -> set[Path]:
    """Folders of the finished runs that no other one beats."""
    points = {run.folder: [run.value(name) for name in objectives] for run in runs}
    points = {folder: point for folder, point in points.items() if np.isfinite(point).all()}
    if not points:
        return set()
    return {folder for folder, keep in zip(points, front(np.array(list(points.values()))), strict=True) if keep}


def trials_table(folder: Path, trials: list[Trial], on_front: set[Path], objectives: Sequence[str]) -> Table:
    """One row a trial."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("trial", justify="right")
    table.add_column("variant", overflow="fold")
    table.add_column("seed", justify="right")
    table.add_column("status", no_wrap=True)
    for heading in ("epochs", *(quantity(name).heading.replace(", ", "\n") for name in objectives), "left"):
        table.add_column(heading, justify="right", no_wrap=True)
    choices = [trial.run.choices for trial in trials]
    differing = differing_choices(choices)
    for trial, chosen in zip(trials, choices, strict=True):
        run = trial.run
        values = {name: run.value(name) for name in objectives}
        numbers = [quantity(name).number(v if math.isfinite(v) else None) for name, v in values.items()]
        name = Text(label(chosen, differing, short=True), overflow="fold")
        mark = "*" if run.folder in on_front else " "
        progress = f"{trial.epochs}/{run.budget['epochs']}"
        table.add_row(
            f"{mark} {title(run.folder, folder)}",
            name,
            str(run.seed),
            trial.state,
            progress,
            *numbers,
            duration(trial.left),
        )
    return table


def title(run: Path, folder: Path) -> str:
    """A run by its folder below the one that is watched."""
    return str(run.relative_to(folder)) if run != folder else run.name


def summary(folder: Path, trials: list[Trial], on_front: set[Path]) -> str:
    """How many trials are in which state, the front, and when the running ones will be done."""
    if not trials:
        return f"no trial has begun yet in {folder}"
    counts = Counter(trial.state.split()[0] for trial in trials)
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    names = ", ".join(title(trial.run.folder, folder) for trial in trials if trial.run.folder in on_front)
    left = [trial.left for trial in trials if math.isfinite(trial.left)]
    ends = f"; those that run need about {duration(max(left))} more" if left else ""
    return f"{plural(len(trials), 'trial')}: {states}; * front so far: {names or 'none'}{ends}"


def duration(seconds: float) -> str:
    """A time for people: '40 s', '12 min', '3.5 h'; nothing where there is none."""
    if math.isnan(seconds):
        return ""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
