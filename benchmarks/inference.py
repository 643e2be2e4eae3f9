"""Inference: latency of one molecule by ASE, periodic boxes, batched molecules; ours and peers on the same structures.

    python benchmarks/inference.py [--models smooth_attn,equivariant,invariant] [--boxes 1000,5000,10000]
        [--mace PYTHON] [--nequip PYTHON] [--threads 2] [--device cpu] [--json FILE]

float32, random weights. Each box has a process of its own, whose peak of memory is its own; the slope is that of time
over atoms on logarithmic axes, from the smallest to the largest box. Ours include the search for neighbours (in the
calculator with its skin), those of peers do not: their batches are made before.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from common import add_peers, build, machine, molecules, peers, report, seconds, water

from mlip_design.calculator import MLIPCalculator
from mlip_design.graph import batch_structures, in_batches
from mlip_design.memory import keep_freed_memory

REPEATS = 5
N_MOLECULES = 1000


def of_21_atoms() -> Atoms:
    """trans-Butane (14 atoms) beside propyne (7)."""
    one, other = molecule("trans-butane"), molecule("C3H4_C3v")
    other.translate([0.0, 0.0, 4.5])
    return one + other


def latency(model: str, device: str) -> float:
    """Seconds of energy and forces of 21 atoms that move a little from one call to the next."""
    atoms = of_21_atoms()
    atoms.calc = MLIPCalculator(build([f"model={model}"], device).eval().requires_grad_(False))
    random = np.random.default_rng(0)

    def call() -> None:
        atoms.positions += random.normal(scale=0.002, size=atoms.positions.shape)
        atoms.get_forces()

    return seconds(call, 30, device)


def box(model: str, n_atoms: int, device: str) -> dict:
    """Seconds and peak memory of energy and forces of a box, candidates included."""
    potential = build([f"model={model}"], device).eval().requires_grad_(False)
    structure = water(n_atoms)

    def call() -> None:
        potential(batch_structures([structure], potential.cutoff, torch.float32).to(device))

    taken = seconds(call, REPEATS, device, warm_up=1)
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if device.startswith("cuda"):
        memory = torch.cuda.max_memory_allocated()
    return {"atoms": len(structure.numbers), "seconds": taken, "bytes": memory}


def throughput(model: str, device: str) -> float:
    """Atoms a second over many molecules, batches of 512 atoms made on the way."""
    potential = build([f"model={model}"], device).eval().requires_grad_(False)
    structures = molecules(N_MOLECULES)

    def call() -> None:
        for batch in in_batches(structures, 512):
            potential(batch_structures(batch, potential.cutoff, torch.float32).to(device))

    return sum(len(one.numbers) for one in structures) / seconds(call, 3, device, warm_up=1)


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--models", default="smooth_attn,equivariant,invariant")
    add("--boxes", default="1000,5000,10000")
    add_peers(parser)
    add("--threads", type=int, default=2)
    add("--device", default="cpu")
    add("--json", type=Path)
    add("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    if args.one:
        print(json.dumps(box(args.one[0], int(args.one[1]), args.device)))
        return
    sizes, rows = [int(size) for size in args.boxes.split(",")], []
    for model in args.models.split(","):
        common = ["--threads", str(args.threads), "--device", args.device]
        boxes = [
            json.loads(
                subprocess.check_output(
                    [sys.executable, __file__, *common, "--one", model, str(size)], text=True
                ).splitlines()[-1]
            )
            for size in sizes
        ]
        found = {"latency": latency(model, args.device), "throughput": throughput(model, args.device)}
        rows.append({"model": model, **found, "boxes": boxes})
        print(told(rows[-1]), flush=True)
    for title, times in peers(args):
        rows.append({"model": title, **of_peer(times, sizes)})
        print(told(rows[-1]), flush=True)
    report({"machine": machine(args.device, args.threads), "rows": rows}, args.json)


def of_peer(times: Callable[..., list[dict]], sizes: list[int]) -> dict:
    """The same of another package."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for size in sizes:
            one = water(size)
            files.append(str(Path(folder) / f"{size}.xyz"))
            ase.io.write(files[-1], Atoms(one.numbers, one.positions, cell=one.cell, pbc=one.pbc), format="extxyz")
        small = str(Path(folder) / "21.xyz")
        ase.io.write(small, of_21_atoms(), format="extxyz")
        boxes = times(what="boxes", files=files, repeats=REPEATS)
        (alone,) = times(what="boxes", files=[small], repeats=30)
        (many,) = times(what="molecules", atoms=[512], repeats=REPEATS)
    return {"latency": alone["seconds"], "throughput": many["atoms"] / many["seconds"], "boxes": boxes}


def told(row: dict) -> str:
    """One model in words."""
    first, last = row["boxes"][0], row["boxes"][-1]
    slope = (
        np.log(last["seconds"] / first["seconds"]) / np.log(last["atoms"] / first["atoms"])
        if last is not first
        else 1.0
    )
    boxes = "; ".join(
        f"{one['atoms']:,} atoms {one['seconds']:.2f} s"
        + (f" {one['bytes'] / 1e9:.2f} GB" if "bytes" in one else "")
        for one in row["boxes"]
    )
    return (
        f"{row['model']}: {1000 * row['latency']:.1f} ms for 21 atoms; {row['throughput']:,.0f} atoms/s of molecules; "
        f"{boxes}; slope {slope:.2f}"
    )


if __name__ == "__main__":
    main()
