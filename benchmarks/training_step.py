"""Training step (force loss, double backward, optimizer): atoms a second, ours, MACE and NequIP on the same structures.

    python benchmarks/training_step.py [--models smooth_attn,equivariant,invariant] [--atoms 64,128,256,512]
        [--million] [--compile] [--mace PYTHON] [--nequip PYTHON] [--threads 2] [--device cpu] [--json FILE]

Median of several steps after warm-up, batches made before. --million: also widened to a million parameters. --compile:
also with `compile=true`, which takes a minute or more for each model first. Peers run in the environment of their
PYTHON, with random weights, in float32; what they are stands in `peers/`.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from common import (
    add_peers,
    build,
    configured,
    machine,
    molecules,
    of_a_million,
    parameters,
    peers,
    report,
    seconds,
)
from hydra.utils import instantiate

from mlip_design.compiled import CompiledPotential
from mlip_design.graph import AtomGraph, batch_structures, in_batches
from mlip_design.memory import keep_freed_memory
from mlip_design.task import parameter_groups

REPEATS = 15


def ours(overrides: list[str], sizes: list[int], device: str, compiled: bool) -> Iterator[dict]:
    """Of one model, by batch size."""
    potential, config = build(overrides, device), configured(overrides)
    loss, optimizer = instantiate(config.loss), instantiate(config.optimizer)(parameter_groups(potential))
    predict = CompiledPotential(potential) if compiled else partial(potential, create_graph=True)
    weights = list(potential.parameters())

    def step(graph: AtomGraph) -> None:
        loss(predict(graph), graph, potential.scale).backward(inputs=weights)
        torch.nn.utils.clip_grad_norm_(potential.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    for size in sizes:
        batch = next(in_batches(molecules(1000), size))
        graph = batch_structures(batch, potential.cutoff, torch.float32).to(device)
        taken = seconds(lambda graph=graph: step(graph), REPEATS, device)
        yield {"parameters": parameters(potential), "atoms": graph.n_atoms, "seconds": taken}


def main() -> None:
    """Measure all, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--models", default="smooth_attn,equivariant,invariant")
    add("--atoms", default="64,128,256,512")
    add("--million", action="store_true")
    add("--compile", action="store_true")
    add_peers(parser)
    add("--threads", type=int, default=2)
    add("--device", default="cpu")
    add("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    sizes = [int(size) for size in args.atoms.split(",")]
    work = {name: [f"model={name}"] for name in args.models.split(",")}
    if args.million:
        work |= {f"{name}, 1M": of_a_million(name) for name in args.models.split(",")}
    ways = {"": False, ", compiled": True} if args.compile else {"": False}
    rows = [
        {"model": name + way, **row}
        for name, overrides in work.items()
        for way, compiled in ways.items()
        for row in ours(overrides, sizes, args.device, compiled)
    ]
    for title, times in peers(args):
        rows += [{"model": title, **row} for row in times(what="training", atoms=sizes, repeats=REPEATS)]
    print("| model | parameters | atoms a batch | ms a step | atoms/s |\n|---|---:|---:|---:|---:|")
    for row in rows:
        rate = row["atoms"] / row["seconds"]
        print(
            f"| {row['model']} | {row['parameters']:,} | {row['atoms']} | {1000 * row['seconds']:.1f} | {rate:,.0f} |",
            flush=True,
        )
    report({"machine": machine(args.device, args.threads), "rows": rows}, args.json)


if __name__ == "__main__":
    main()
