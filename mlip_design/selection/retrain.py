"""Training variants again with other seeds: a process and a folder for each, so that any of them may be killed."""

import fcntl
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from mlip_design.selection.runs import read_run
from mlip_design.selection.variants import Variant

TRAIN = Path(__file__).resolve().parents[2] / "train.py"


@dataclass(frozen=True)
class Training:
    """One variant with one seed."""

    label: str
    overrides: list[str]
    seed: int
    folder: Path
    """Its run folder; what it prints goes to a file of the same name with .log."""


def plan(variants: Sequence[Variant], n_seeds: int, seen: set[int], out: Path) -> list[Training]:
    """Every variant with the first seeds that are not among those seen, one seed of all variants after the other."""
    seeds = [seed for seed in range(1, n_seeds + len(seen) + 1) if seed not in seen][:n_seeds]
    folders = {variant.label: folder_of(variant, out) for variant in variants}
    return [
        Training(variant.label, variant.overrides, seed, folders[variant.label] / f"seed_{seed}")
        for seed in seeds
        for variant in variants
    ]


def folder_of(variant: Variant, out: Path) -> Path:
    """The folder of a variant: always the same for the same choices, named after its label when it is made."""
    mark = hashlib.sha256(json.dumps(variant.choices).encode()).hexdigest()[:8]
    name = re.sub(r"[^\w.]+", "_", variant.label)[:60]
    return next(out.glob(f"*-{mark}"), out / f"{name}-{mark}")


def train_all(trainings: Sequence[Training], workers: int, tell: Callable[[str], None]) -> None:
    """Train what is not finished yet, `workers` at a time; `tell` gets a line for each."""
    with ThreadPoolExecutor(workers) as pool:
        waiting = {pool.submit(train, training): training for training in trainings}
        try:
            for done, future in enumerate(as_completed(waiting), start=1):
                training = waiting[future]
                tell(f"{done} of {len(trainings)}  {training.label} seed={training.seed}: {future.result()}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def train(training: Training) -> str:
    """Train one, or continue it, unless it came to its end before; returns in words how it ended.

    Waits for another process that trains it at the moment: the log is locked as long as a process has it open.
    """
    folder, log_file = training.folder, training.folder.with_suffix(".log")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(log_file, "a", encoding="utf-8") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        if is_over(folder):
            return f"{state(folder)} before"
        begun = (folder / "config.yaml").exists()
        fresh = [*training.overrides, f"seed={training.seed}", f"hydra.run.dir={quoted(folder)}"]
        command = [sys.executable, str(TRAIN), *([f"resume={quoted(folder)}"] if begun else fresh)]
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode
    if status == 2:
        raise ValueError(f"{folder} was refused: {log_file.read_text(encoding='utf-8').strip().splitlines()[-1]}")
    return state(folder) if is_over(folder) else f"{state(folder)} (exit status {status}, see {log_file})"


def quoted(path: Path) -> str:
    """A path as the value of an override."""
    escaped = str(path).replace("'", "\\'")
    return f"'{escaped}'"


def is_over(folder: Path) -> bool:
    """Whether training it again would change nothing: it finished, or it diverged."""
    return state(folder).startswith(("finished", "diverged"))


def state(folder: Path) -> str:
    """Status of a run, and the reason if it did not finish."""
    try:
        run = read_run(folder / "results.json")
    except (OSError, ValueError):
        return "no record"
    return run.status if run.finished else f"{run.status}: {run.reason}"
