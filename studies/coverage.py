"""Coverage: is a potential rough where training saw something, or where it saw nothing?

Between two frames of a bond scan, |dL/da| is the slope whose largest value is the FSD. What training saw there is
counted in pairs of atoms of the bond's two elements whose distance is within 0.04 Å, the width of the narrow Gaussians.
Numbers are means over scans and seeds.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mlip_design.bsct import Scan, deviation_curves, load_scans
from mlip_design.bsct.predict import Model, predict
from mlip_design.data.bundled import bundled_path
from mlip_design.data.sources import bundled
from mlip_design.files import replacing
from mlip_design.processes import Processes
from mlip_design.selection.statistics import estimate
from studies.figures import panels
from studies.records import Records, table
from studies.variants import CELLS, SEEDED

RECORD = "coverage.json"
REACH = 0.04
"""Å."""
LOWEST = (0, 1, 10, 100)
"""Pairs from which on an interval counts as covered so well."""
NAMES = ("none", "1 to 9", "10 to 99", "100 and more")
NEAR = 0.1
"""Å, around equilibrium."""
BASIS = {0: "narrow", 1: "broad"}


def measure_all(records: Records, workers: int) -> None:
    """Measure all runs of variants with several seeds that have not been."""
    folders = [record.run.folder for name, several in records.items() if name in SEEDED for record in several]
    waiting = [(folder,) for folder in folders if not (folder / RECORD).exists()]
    with Processes(min(workers, max(len(waiting), 1))) as processes:
        for _ in processes.spread(measure, waiting):
            pass


def measure(folder: Path) -> None:
    """Leave coverage.json in the folder of a run; intervals by how well they are covered."""
    scans = all_scans()
    predicted, _ = predict(Model(str(folder), dtype="float32"), scans)
    slopes, steepest, is_near = [], [], []
    for scan, made in zip(scans, predicted, strict=True):
        curves = deviation_curves(scan, made.forces)
        slopes.append(np.abs(curves.slope))
        steepest.append(covered(scan)[curves.steepest])
        is_near.append(abs(middles(scan)[curves.steepest] - scan.lengths[scan.equilibrium]) < NEAR)
    levels, slope = np.concatenate([covered(scan) for scan in scans]), np.concatenate(slopes)
    found = {
        "slope": [float(slope[levels == level].mean()) for level in range(len(LOWEST))],
        "steepest": [float(np.mean(np.equal(steepest, level))) for level in range(len(LOWEST))],
        "near_equilibrium": float(np.mean(is_near)),
    }
    with replacing(folder / RECORD) as file:
        json.dump(found, file)


@cache
def all_scans() -> list[Scan]:
    """Bundled ones of validation and test, none of whose molecules is in training."""
    return [scan for split in ("val", "test") for scan in load_scans(bundled_path(f"scans_{split}.tar.xz"))]


@cache
def distances() -> dict[tuple[int, int], np.ndarray]:
    """Atomic numbers of two elements, the smaller first -> distances of such atoms in training, Å, ascending."""
    found: dict[tuple[int, int], list[np.ndarray]] = {}
    training = bundled()["train"]
    for index in range(len(training)):
        structure = training[index]
        first, second = np.triu_indices(len(structure.numbers), 1)
        length = np.linalg.norm(structure.positions[first] - structure.positions[second], axis=1)
        pairs = np.sort(np.stack([structure.numbers[first], structure.numbers[second]], axis=1))
        for pair in np.unique(pairs, axis=0):
            found.setdefault(tuple(pair.tolist()), []).append(length[(pairs == pair).all(axis=1)])
    return {pair: np.sort(np.concatenate(several)) for pair, several in found.items()}


def middles(scan: Scan) -> np.ndarray:
    """(n_frames - 1,), Å."""
    return (scan.lengths[1:] + scan.lengths[:-1]) / 2


def covered(scan: Scan) -> np.ndarray:
    """How well training covers each interval of a scan: (n_frames - 1,), index into LOWEST."""
    pair = tuple(sorted(scan.numbers[list(scan.bond_index)].tolist()))
    known, middle = distances().get(pair, np.empty(0)), middles(scan)
    counts = np.searchsorted(known, middle + REACH) - np.searchsorted(known, middle - REACH)
    return np.searchsorted(LOWEST, counts, side="right") - 1


def analyse(records: Records) -> dict[str, Any]:
    """Facts, ready for JSON."""
    levels = np.concatenate([covered(scan) for scan in all_scans()])
    return {
        "intervals": [int((levels == level).sum()) for level in range(len(LOWEST))],
        "variants": {
            name: over_runs([json.loads((one.run.folder / RECORD).read_text(encoding="utf-8")) for one in several])
            for name, several in records.items()
            if name in SEEDED
        },
    }


def over_runs(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, for the slopes with their intervals."""
    return {
        "slope": [vars(estimate(values)) for values in zip(*(one["slope"] for one in found), strict=True)],
        "steepest": np.mean([one["steepest"] for one in found], axis=0).tolist(),
        "near_equilibrium": float(np.mean([one["near_equilibrium"] for one in found])),
    }


def draw(facts: dict[str, Any], path: Path) -> None:
    """Slopes, and where the FSD sits, over coverage."""
    figure, (slopes, shares) = panels(2)
    for levels, name in CELLS.items():
        row, style = facts["variants"][name], {"color": f"C{levels[2]}", "ls": "-" if levels[0] else "--"}
        label = f"{name} ({BASIS[levels[2]]})"
        slopes.plot(NAMES, [one["mean"] for one in row["slope"]], "o", label=label, **style)
        shares.plot(NAMES, [100 * share for share in row["steepest"]], "o", **style)
    slopes.set_ylabel("mean |dL/da|, 1/Å")
    shares.set_ylabel("scans whose FSD is there, %")
    slopes.legend(fontsize=7)
    for axes in (slopes, shares):
        axes.set_xlabel("pairs in training within 0.04 Å")
    figure.savefig(path, dpi=130)


def text(facts: dict[str, Any]) -> str:
    """Table and sentences."""
    total = sum(facts["intervals"])
    headings = ["pairs in training within 0.04 Å", *(f"slope, {name}" for name in NAMES)]
    headings += [*(f"FSD there, {name}, %" for name in NAMES), "FSD within 0.1 Å of equilibrium, %"]
    rows = [
        ["share of all intervals, %", *(f"{100 * count / total:.0f}" for count in facts["intervals"]), *[""] * 5]
    ]
    for name, row in facts["variants"].items():
        slopes = [f"{one['mean']:.1f}" + half_width(one) for one in row["slope"]]
        shares = [f"{100 * share:.0f}" for share in (*row["steepest"], row["near_equilibrium"])]
        rows.append([f"`{name}`", *slopes, *shares])
    return "\n\n".join([table(headings, rows), *(sentence(facts, level) for level in BASIS)])


def half_width(found: dict[str, Any]) -> str:
    """Of an interval, if there is one."""
    return "" if found["low"] is None else f" ± {found['mean'] - found['low']:.1f}"


def sentence(facts: dict[str, Any], level: int) -> str:
    """Where models with one of the bases are rough."""
    rows = [facts["variants"][name] for levels, name in CELLS.items() if levels[2] == level]
    nowhere, well = (np.mean([row["slope"][place]["mean"] for row in rows]) for place in (0, -1))
    rare = np.mean([sum(row["steepest"][:2]) for row in rows])
    near = np.mean([row["near_equilibrium"] for row in rows])
    return (
        f"With the {BASIS[level]} basis the slope is {nowhere:.1f} 1/Å where training has no such pair and {well:.1f} "
        f"where it has 100 and more; {100 * rare:.0f} % of the scans have their FSD where it has fewer than 10, "
        f"{100 * near:.0f} % within 0.1 Å of equilibrium."
    )
