"""Sweeps of tiny runs, as commands, and what they leave, for the tests."""

import csv
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tiny_run

DISTURBED = {"DISTURB": "1"}


def quick() -> list[str]:
    """Overrides of a tiny run that draws no figures."""
    return [*(word for word in tiny_run.inputs() if "n_worst" not in word), "callbacks.bsct.n_worst=0"]


def planted(what: str, calls: str) -> list[str]:
    """Overrides of a sweep whose trials are disturbed at the given batch of training; at 100 they are not."""
    return [*tiny_run.disturb("on_train_batch_end", 100, what), f"callbacks.zz_disturb.call={calls}"]


@dataclass
class Done:
    """What a command left: its exit status and what it printed to stdout and stderr."""

    status: int
    out: str
    err: str


def call(*words: str, disturbed: bool = False) -> Done:
    """Run `python train.py` with these words."""
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/out", f"{folder}/err"]
        process = tiny_run.CONTEXT.Process(target=printing, args=(files, words, DISTURBED if disturbed else {}))
        process.start()
        return Done(tiny_run.finish(process), *(Path(file).read_text() for file in files))


def printing(files: list[str], words: tuple[str, ...], environment: dict[str, str]) -> None:
    """What a process of `call` does."""
    for descriptor, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    tiny_run.call_main(words, environment)


def sweep(folder: Path, *words: str, disturbed: bool = True) -> Done:
    """Run a multirun of tiny runs."""
    return call(*words, *quick(), f"hydra.sweep.dir={folder}", disturbed=disturbed)


def record(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def statuses(folder: Path) -> dict[str, str]:
    """Run folder -> status."""
    return {file.parent.name: record(file.parent)["status"] for file in sorted(folder.glob("*/results.json"))}


def untimed(folder: Path) -> tuple[list[dict], dict]:
    """The rows of metrics.csv and the metrics of results.json, without times."""
    with open(folder / "metrics.csv", newline="") as file:
        rows = [{k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(file)]
    return rows, {k: v for k, v in record(folder)["metrics"].items() if "seconds" not in k}


def files(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder with its content."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
