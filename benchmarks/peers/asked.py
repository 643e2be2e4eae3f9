"""What a peer is asked to time, and on what: the part that all of `peers/` share.

`python PEER.py JSON` prints JSON. JSON: model (a name that PEER.py knows), what ("training", "molecules" or "boxes"),
device, repeats, atoms (list of sizes) or files. Molecules are those of the package, which need not be installed: its
files are read from the folders beside this one.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import ase.io
import numpy as np
import torch
from ase.calculators.singlepoint import SinglePointCalculator

BUNDLED = Path(__file__).resolve().parents[2] / "mlip_design" / "data" / "bundled"
ELEMENTS = [1, 6, 7, 8, 9, 15, 16, 17]
R_MAX = 5.0
NEIGHBORS = 10.0
"""Mean number of neighbours that sums are divided by."""

Frames = list[ase.Atoms]
Prepared = tuple[Callable[[], object], int]
"""A call to time, and how many parameters it moves."""


def answer(training: Callable[[dict, Frames], Prepared], inference: Callable[[dict, Frames], Prepared]) -> None:
    """Time what was asked. training, inference: prepare a step, or energies and forces, of one batch."""
    asked = json.loads(sys.argv[1])
    torch.set_default_dtype(torch.float32)
    prepare = training if asked["what"] == "training" else inference
    rows = []
    for frames in batches(asked):
        call, count = prepare(asked, frames)
        taken = seconds(call, asked["repeats"], asked["device"])
        rows.append({"parameters": count, "atoms": sum(map(len, frames)), "seconds": taken})
    print(json.dumps(rows))


def batches(asked: dict) -> list[Frames]:
    """Structures with energies and forces."""
    if asked["what"] == "boxes":
        return [[without_labels(ase.io.read(path))] for path in asked["files"]]
    frames = ase.io.read(BUNDLED / "val_known.xyz.xz", ":", format="extxyz")
    ends = np.cumsum([len(atoms) for atoms in frames])
    return [frames[: max(int((ends <= size).sum()), 1)] for size in asked["atoms"]]


def without_labels(atoms: ase.Atoms) -> ase.Atoms:
    """Zeros in their place."""
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((len(atoms), 3)))
    return atoms


def parameters(model: torch.nn.Module) -> int:
    """How many."""
    return sum(parameter.numel() for parameter in model.parameters())


def seconds(function: Callable[[], object], repeats: int, device: str) -> float:
    """Median wall time after two calls to warm up."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        function()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return median(times[2:])
