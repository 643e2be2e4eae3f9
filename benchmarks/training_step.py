"""Training step (force loss, double backward, optimizer): atoms a second, ours, MACE and NequIP on the same structures.

    python benchmarks/training_step.py [--models smooth_attn,equivariant,invariant] [--atoms 64,128,256,512]
        [--million] [--mace PYTHON] [--nequip PYTHON] [--threads 2] [--device cpu] [--json FILE]

Median of several steps after warm-up, batches made before. --million: also widened to a million parameters. Peers run
in the environment of their PYTHON, with random weights, in float32; what they are stands in `peers/`.
"""

import argparse
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

from mlip_design.graph import batch_structures, in_batches
from mlip_design.memory import keep_freed_memory
from mlip_design.task import parameter_groups

REPEATS = 15


def ours(overrides: list[str], atoms: int, device: str) -> dict:
    """Of one model and batch size."""
    potential, config = build(overrides, device), configured(overrides)
    loss, optimizer = instantiate(config.loss), instantiate(config.optimizer)(parameter_groups(potential))
    graph = batch_structures(next(in_batches(molecules(1000), atoms)), potential.cutoff, torch.float32).to(device)

    weights = list(potential.parameters())

    def step() -> None:
        loss(potential(graph, create_graph=True), graph, potential.scale).backward(inputs=weights)
        torch.nn.utils.clip_grad_norm_(potential.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    n_atoms = len(graph.numbers)
    return {"parameters": parameters(potential), "atoms": n_atoms, "seconds": seconds(step, REPEATS, device)}


def main() -> None:
    """Measure all, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--models", default="smooth_attn,equivariant,invariant")
    add("--atoms", default="64,128,256,512")
    add("--million", action="store_true")
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
    rows = [
        {"model": name, **ours(overrides, size, args.device)} for name, overrides in work.items() for size in sizes
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
