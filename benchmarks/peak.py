"""Share of the machine's peak: FLOP/s in matrix products of training and inference over those of one large product.

    python benchmarks/peak.py [--models smooth_attn,equivariant,invariant] [--threads 2] [--device cpu] [--json FILE]

Products are counted by torch's own counter. What is not a product (activations, softmax, gathers) counts as time alone.
"""

import argparse
from pathlib import Path

import torch
from common import build, machine, molecules, report, seconds
from torch.utils.flop_counter import FlopCounterMode

from mlip_design.graph import batch_structures, in_batches
from mlip_design.memory import keep_freed_memory

SIZE, REPEATS, ATOMS = 3072, 10, 512


def measured_peak(device: str) -> float:
    """FLOP/s of one large product in float32."""
    a, b = torch.rand(2, SIZE, SIZE, device=device)
    return 2 * SIZE**3 / seconds(lambda: a @ b, REPEATS, device)


def rate(function, device: str) -> tuple[float, float]:
    """FLOP of the products of a call, and what they come to in a second."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops(), counter.get_total_flops() / seconds(function, REPEATS, device)


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", default="smooth_attn,equivariant,invariant")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    top, rows = measured_peak(args.device), []
    print(f"one product of {SIZE}: {top / 1e9:.0f} GFLOP/s")
    print("| model | | GFLOP | GFLOP/s | of the peak |\n|---|---|---:|---:|---:|")
    for name in args.models.split(","):
        potential = build([f"model={name}"], args.device)
        graph = batch_structures(next(in_batches(molecules(1000), ATOMS)), potential.cutoff, torch.float32)
        graph = graph.to(args.device)

        def step(potential=potential, graph=graph) -> None:
            potential(graph, create_graph=True).forces.square().mean().backward()

        def predict(potential=potential, graph=graph) -> None:
            with torch.no_grad():
                potential(graph)

        for what, function in (("training", step), ("inference", predict)):
            work, found = rate(function, args.device)
            rows.append({"model": name, "what": what, "flop": work, "flops": found, "share": found / top})
            share = f"{100 * found / top:.0f} %"
            print(f"| {name} | {what} | {work / 1e9:.2f} | {found / 1e9:.0f} | {share} |", flush=True)
    report({"machine": machine(args.device, args.threads), "peak": top, "rows": rows}, args.json)


if __name__ == "__main__":
    main()
