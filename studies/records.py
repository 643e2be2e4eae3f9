"""What is known of every run, as flat numbers: of its training, of the scans, and of the instruments of `measuring`."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlip_design.selection.retrain import Training
from mlip_design.selection.runs import Run, read_run
from mlip_design.selection.statistics import Estimate, estimate
from studies.measuring import known

LEAST = 1e-9
"""What 0 counts as where the logarithm is taken."""
KEYS = ("full_smoothness", "compress_smoothness", "stretch_smoothness", "windowed_smoothness")


@dataclass(frozen=True)
class Quantity:
    """A number in tables and figures."""

    heading: str
    factor: float = 1.0
    """What values are multiplied by for the unit of the heading."""
    form: str = ".1f"
    spans_orders: bool = False
    """Whether seeds differ by factors, so that their mean is the geometric one."""

    def text(self, value: float | None) -> str:
        """A value in this unit."""
        return "–" if value is None or not np.isfinite(value) else f"{self.factor * value:{self.form}}"

    def interval(self, found: Estimate) -> str:
        """Mean, and its interval if there is one: half its width, or both ends if it is that of a geometric mean."""
        if self.spans_orders and found.low is not None:
            return f"{self.text(found.mean)} ({self.text(found.low)} to {self.text(found.high)})"
        half = "" if found.low is None else f" ± {self.factor * (found.mean - found.low):{self.form}}"
        return self.text(found.mean) + half


QUANTITIES = {
    "full_smoothness": Quantity("FSD, 1/Å"),
    "compress_smoothness": Quantity("compressed"),
    "stretch_smoothness": Quantity("stretched"),
    "windowed_smoothness": Quantity("FSD away from equilibrium, 1/Å"),
    "test/forces_mae": Quantity("force MAE (known), meV/Å", 1000, ".0f"),
    "test_new/forces_mae": Quantity("force MAE (new), meV/Å", 1000, ".0f"),
    "test/energy_mae_per_atom": Quantity("energy MAE (known), meV/atom", 1000, ".1f"),
    "test_new/energy_mae_per_atom": Quantity("energy MAE (new), meV/atom", 1000, ".1f"),
    "force_jump": Quantity("largest force jump, eV/Å", 1, ".2g"),
    "energy_jump": Quantity("largest energy jump, meV", 1000, ".2g"),
    "jacobian_asymmetry": Quantity("Jacobian asymmetry", 1, ".1e"),
    "hessian_norm": Quantity("Hessian norm, eV/Å²", 1, ".0f"),
    "drift": Quantity("NVE drift, meV/atom/ps", 1, ".2g", spans_orders=True),
    "largest_drift": Quantity("largest drift", 1, ".2g"),
    "fluctuation": Quantity("fluctuation, meV/atom", 1, ".2g"),
    "survival": Quantity("survival, %", 100, ".0f"),
    "parameters": Quantity("parameters", 1, ",.0f"),
    "seconds_per_step": Quantity("ms a step", 1000, ".0f"),
}


@dataclass(frozen=True)
class Record:
    """A finished run and what was measured of it."""

    run: Run
    values: dict[str, float]
    """Name, as in QUANTITIES -> value in eV, Å and the like; NaN where there is none."""
    systems: dict[str, list[float]]
    """Key of the scans, also zero_KEY -> value of every scan."""
    seconds: dict[str, float]
    """Instrument -> what it took."""

    def __getitem__(self, name: str) -> float:
        return self.values.get(name, float("nan"))


Records = Mapping[str, Sequence[Record]]
"""Variant -> its runs, by seed."""


def load(trainings: Sequence[Training], stages: Sequence[str]) -> dict[str, list[Record]]:
    """All that finished and were measured; `systems` are the scans of these stages."""
    found: dict[str, list[Record]] = {}
    for training in trainings:
        measured = known(training.folder)
        if "dynamics" in measured:
            found.setdefault(training.label, []).append(record(training, measured, stages))
    return found


def record(training: Training, measured: Mapping[str, Mapping], stages: Sequence[str]) -> Record:
    """Of one run."""
    run = read_run(training.folder / "results.json")
    systems = scans(training.folder, stages)
    numbers = {key: float(np.mean(systems[key])) if systems[key] else float("nan") for key in KEYS}
    numbers |= run.metrics | run.cost
    for one in measured.values():
        numbers |= {key: float("nan") if value is None else value for key, value in one.items()}
    seconds = {"scans": sum(run.metrics.get(f"{stage}/bsct/seconds", 0.0) for stage in stages)}
    return Record(run, numbers, systems, seconds | {name: one["seconds"] for name, one in measured.items()})


def scans(folder: Path, stages: Sequence[str]) -> dict[str, list[float]]:
    """Key -> its value for every scan of the stages, as training scored them.

    Empty lists where there are no scans of known elements.
    """
    rows = []
    for path in filter(Path.exists, (folder / f"scans_{stage}.csv" for stage in stages)):
        with path.open(newline="", encoding="utf-8") as lines:
            rows += list(csv.DictReader(lines))
    names = [*KEYS, *(f"zero_{key}" for key in KEYS)]
    return {name: [float(row[name]) for row in rows] for name in names}


def over_seeds(records: Sequence[Record], name: str) -> Estimate:
    """Mean and 95 % interval of a number over the seeds of a variant; geometric where seeds differ by factors."""
    return of_values([record[name] for record in records], name)


def of_values(values: Sequence[float], name: str) -> Estimate:
    """The same of the values of a quantity."""
    if not QUANTITIES[name].spans_orders:
        return estimate(values)
    found = estimate(np.log10(np.maximum(values, LEAST)).tolist())
    ends = {end: None if (at := getattr(found, end)) is None else float(10**at) for end in ("mean", "low", "high")}
    return Estimate(**ends, n=found.n)


def zero_forces(records: Records) -> dict[str, float]:
    """What a model without forces has, of the numbers where that means something."""
    first = next(iter(records.values()))[0]
    of_scans = {key: np.mean(first.systems[f"zero_{key}"]) for key in KEYS if first.systems[key]}
    of_data = {f"{split}/forces_mae": facts["mean_absolute_force"] for split, facts in first.run.data.items()}
    return {name: float(value) for name, value in (of_scans | of_data).items()}


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; the first column to the left, numbers to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
