"""Runs as selection sees them: the `results.json` of their folders, and which of them are seeds of one variant."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

SCHEMA = 1
PARTS = {"status": str, "seed": int, "overrides": list} | dict.fromkeys(
    ("metrics", "best", "cost", "budget", "data", "versions"), dict
)
"""What a record must hold beside its schema and its reason."""
WORDS = {str: "a text", int: "a whole number", list: "a list", dict: "a mapping"}
NOT_A_CHOICE = re.compile(
    r"(seed|resume|logger|hydra|callbacks|threads|sweep|objectives|overrides|trainer.enable_progress_bar)([./@]|$)"
)
"""Keys, and groups of keys, that do not make another variant."""


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path
    status: str
    """finished, failed, diverged or stopped."""
    reason: str | None
    """Why it did not finish."""
    seed: int
    overrides: tuple[str, ...]
    metrics: dict[str, float]
    """Of the last epoch (train/, val/) and of the best one on test splits (test/)."""
    best: dict[str, float]
    """Of the best epoch by force MAE."""
    cost: dict[str, float]
    budget: dict[str, int]
    """What training was allowed: epochs."""
    data: dict[str, dict[str, float]]
    """Split -> size and mean absolute force component, eV/Å."""
    versions: dict[str, str]

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return self.status == "finished"

    @property
    def choices(self) -> dict[str, str]:
        """What makes its variant: key -> value of the overrides, sorted, without seed, logger and the like."""
        pairs = (override.lstrip("+~").partition("=")[::2] for override in self.overrides)
        return {key: value for key, value in sorted(pairs) if not NOT_A_CHOICE.match(key)}

    @cached_property
    def settings(self) -> dict[str, str]:
        """What its choices came to: dotted key -> value in its config.yaml; where there is none, the choices."""
        try:
            config = yaml.load((self.folder / "config.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
        except (OSError, ValueError, yaml.YAMLError):
            return self.choices
        pairs = sorted(leaves(config)) if isinstance(config, dict) else self.choices.items()
        return {key: value for key, value in pairs if not NOT_A_CHOICE.match(key)}

    @property
    def names(self) -> list[str]:
        """Everything `value` knows."""
        return [*self.metrics, *(f"cost/{name}" for name in self.cost)]

    def value(self, name: str) -> float:
        """A metric of the end of the run, or `cost/NAME`; NaN where the run has none."""
        group, _, key = name.partition("/")
        value = self.cost.get(key) if group == "cost" else self.metrics.get(name)
        return math.nan if value is None else float(value)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(dotted path, value) of everything in nested mappings; 2 and 2.0 are written alike."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        is_whole = isinstance(value, float) and value.is_integer()
        yield path, str(int(value) if is_whole else value)


def load_runs(folders: Iterable[str | Path]) -> tuple[list[Run], dict[Path, str]]:
    """Every run in or below the folders, by number and name; and what could not be read: file -> why.

    Raises ValueError for a folder in which there is no run.
    """
    runs, unreadable = {}, {}
    for folder in map(Path, folders):
        files = sorted(folder.rglob("results.json"), key=by_number)
        if not files:
            raise ValueError(f"{folder}: no run here (no results.json in or below it)")
        for file in files:
            try:
                runs[file.resolve()] = read_run(file)
            except ValueError as error:
                unreadable[file] = str(error)
    return list(runs.values()), unreadable


def read_run(file: Path) -> Run:
    """Read one `results.json`. Raises ValueError saying what is wrong with it."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']!r} is not {SCHEMA}")
        for name, kind in PARTS.items():
            if not isinstance(content[name], kind):
                raise ValueError(f"{name}: {content[name]!r} is not {WORDS[kind]}")
        parts = {name: content[name] for name in PARTS}
        return Run(file.parent, reason=content["reason"], **parts | {"overrides": tuple(content["overrides"])})
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} is missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise ValueError(f"not a record of a run ({error})") from None


def by_number(path: Path) -> list:
    """Sorting key of paths that takes the numbers in them as numbers."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in path.parts]


def check_metric(name: str, runs: list[Run]) -> None:
    """Raise ValueError, with the closest match, if no run has the metric."""
    known = sorted({known for run in runs for known in run.names})
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ValueError(
            f"metric {name!r} is in none of the runs ({len(runs)}); {hint}they have {', '.join(known)}"
        )
