"""How far a search gets beyond chance: hypervolume after 60 trials of ZDT1, whose front is known, over ten seeds.

    python benchmarks/sweeper.py [tpe nsga2 qmc]

ZDT1 in six dimensions: minimise x1 and g (1 - sqrt(x1 / g)), g = 1 + 9 mean(x2 ... x6); its front is g = 1. The search
goes through the study that `sweep=pareto` uses, journal and all; nothing is trained.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from optuna.distributions import FloatDistribution

from mlip_design.selection.pareto import hypervolume
from mlip_design.selection.runs import Run
from mlip_design.sweep.space import Space
from mlip_design.sweep.study import Plan, Study

N_TRIALS, N_SEEDS = 60, 10
REFERENCE = np.array([1.1, 6.0])
SPACE = Space({f"x{i}": FloatDistribution(0, 1) for i in range(1, 7)})


def front_volume(sampler: str, seed: int) -> float:
    """Hypervolume of the front of one search."""
    plan = Plan(["f1", "f2"], SPACE, [], {}, N_TRIALS, sampler, seed)
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder), plan, lambda key, blocks: True)
        while proposal := study.ask():
            x = np.array([float(override.partition("=")[2]) for override in proposal.overrides])
            g = 1 + 9 * x[1:].mean()
            values = {"f1": x[0], "f2": g * (1 - np.sqrt(x[0] / g))}
            study.tell(proposal.number, Run(Path(folder), "finished", None, seed, (), values, {}, {}, {}, {}, {}))
        study.worker.leave()
        return hypervolume(np.array([trial.values for trial in study.front()]), REFERENCE)


def best_volume() -> float:
    """Hypervolume of the known front."""
    x = np.linspace(0, 1, 10_001)
    return hypervolume(np.column_stack([x, 1 - np.sqrt(x)]), REFERENCE)


def main(samplers: list[str]) -> None:
    """Print the hypervolume of every seed and how often chance was beaten."""
    chance = np.array([front_volume("random", seed) for seed in range(N_SEEDS)])
    print(f"{'known front':12} {best_volume():.2f}")
    print(f"{'random':12} {' '.join(f'{volume:.2f}' for volume in chance)}", flush=True)
    for sampler in samplers:
        volumes = np.array([front_volume(sampler, seed) for seed in range(N_SEEDS)])
        won = (volumes > chance).sum()
        print(f"{sampler:12} {' '.join(f'{v:.2f}' for v in volumes)}: better in {won} of {N_SEEDS}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["tpe", "nsga2", "qmc"])
