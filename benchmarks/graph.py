"""Neighbour selection: time and memory of candidates and selection, and what `diff_knn` adds to a forward pass.

    python benchmarks/graph.py [--atoms 100,1000,5000,20000] [--threads 2] [--json FILE]

Boxes of water, float32. Each row has a process of its own, whose peak of memory is its own. `dense` finds the
same neighbours among all n x n distances and ranks them; it ends where memory does. A second table has
`model=smooth_attn` and the same over `radius`, at the cutoff where both keep the same number of edges, in turns.
"""

import argparse
import json
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import median

import torch
from common import build, machine, molecules, report, seconds, water

from mlip_design.blocks.soft_count import soft_count
from mlip_design.graph import batch_structures, in_batches
from mlip_design.memory import keep_freed_memory
from mlip_design.structures import Structure

REPEATS = 5
KINDS = ("candidates", "radius", "diff_knn", "dense")
DENSE_LIMIT = 6000
"""Atoms; beyond, n x n distances and their differences do not fit."""


def one(kind: str, n_atoms: int) -> dict:
    """Seconds and peak memory of one kind."""
    structure, cutoff = water(n_atoms), 6.0
    before = peak()
    if kind == "candidates":
        taken = seconds(lambda: batch_structures([structure], cutoff, torch.float32), REPEATS)
    elif kind == "dense":
        taken = seconds(lambda: dense(structure, cutoff), REPEATS)
    else:
        potential = build(["model=smooth_attn", f"model/neighbors={kind}"], "cpu")
        graph = batch_structures([structure], cutoff, torch.float32)
        edges = (graph.source, graph.reverse, graph.n_atoms)
        lattice = graph.shift @ graph.cell[0]
        distance = (graph.positions[graph.target] - graph.positions[graph.source] + lattice).norm(dim=1)
        taken = seconds(lambda: potential.neighbors(distance, *edges), REPEATS)
    return {"kind": kind, "atoms": len(structure.numbers), "seconds": taken, "bytes": 1024 * (peak() - before)}


def dense(structure: Structure, cutoff: float) -> torch.Tensor:
    """Soft ranks of the neighbours of every atom, found among all n x n distances to nearest images in a cubic cell."""
    positions, edge = torch.tensor(structure.positions, dtype=torch.float32), float(structure.cell[0, 0])
    difference = positions[:, None] - positions[None]
    distance = (difference - edge * torch.round(difference / edge)).norm(dim=2).fill_diagonal_(torch.inf)
    width = int((distance < cutoff).sum(1).max())
    near = distance.topk(width, largest=False).values.clamp(max=cutoff)
    return soft_count(near / 0.2, (near < cutoff).float())


def added(name: str, structures: list[Structure]) -> dict:
    """Seconds of energies, and of energies and forces, of like many edges that diff_knn and radius keep."""
    knn = build(["model=smooth_attn"], "cpu").eval().requires_grad_(False)
    graph = batch_structures(structures, knn.cutoff, torch.float32)
    n_edges = len(knn.edges(graph, graph.positions, None).source)
    lattice = (graph.shift[:, :, None] * graph.cell[graph.graph_index[graph.source]]).sum(1)
    distance = (graph.positions[graph.target] - graph.positions[graph.source] + lattice).norm(dim=1)
    cutoff = float(distance.sort().values[n_edges - 1]) + 1e-5
    overrides = ["model=smooth_attn", "model/neighbors=radius", f"model.neighbors.cutoff={cutoff}"]
    potentials = {"diff_knn": knn, "radius": build(overrides, "cpu").eval().requires_grad_(False)}
    row = {"structures": name, "atoms": graph.n_atoms, "edges": n_edges, "radius_cutoff": cutoff}
    for what, forces in (("energies", False), ("forces", True)):
        taken = {kind: [] for kind in potentials}
        for _ in range(REPEATS):
            for kind, potential in potentials.items():
                batch = batch_structures(structures, potential.cutoff, torch.float32)
                taken[kind].append(seconds(partial(potential, batch, forces=forces), 3))
        row[what] = {kind: median(times) for kind, times in taken.items()}
    return row


def peak() -> int:
    """Largest resident size so far, kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure all, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--atoms", default="100,1000,5000,20000")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    if args.one:
        print(json.dumps(one(args.one[0], int(args.one[1]))))
        return
    rows = []
    print("| | atoms | ms | MB |\n|---|---:|---:|---:|")
    for size in map(int, args.atoms.split(",")):
        for kind in KINDS:
            if kind == "dense" and size > DENSE_LIMIT:
                continue
            command = [sys.executable, __file__, "--threads", str(args.threads), "--one", kind, str(size)]
            rows.append(json.loads(subprocess.check_output(command, text=True).splitlines()[-1]))
            row = rows[-1]
            print(
                f"| {kind} | {row['atoms']} | {1000 * row['seconds']:.1f} | {row['bytes'] / 1e6:.0f} |", flush=True
            )
    print("\n| | atoms | edges | energies: radius, ms | diff_knn adds | with forces: radius, ms | diff_knn adds |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    forwards = []
    for name, structures in {
        "molecules": next(in_batches(molecules(100), 512)),
        "water": [water(1000)],
    }.items():
        forwards.append(row := added(name, structures))
        cells = [
            f"{1000 * row[what]['radius']:.1f} | {row[what]['diff_knn'] / row[what]['radius'] - 1:+.0%}"
            for what in ("energies", "forces")
        ]
        print(f"| {name} | {row['atoms']} | {row['edges']} | {' | '.join(cells)} |", flush=True)
    report({"machine": machine("cpu", args.threads), "rows": rows, "forwards": forwards}, args.json)


if __name__ == "__main__":
    main()
