"""Molecular dynamics as a validation callback: do the weights that will be saved conserve energy, and survive?"""

import math
import time
from copy import deepcopy
from typing import Any

import numpy as np
import pytorch_lightning as pl

from callbacks.bsct import gather
from callbacks.periodic import Periodic
from mlip_design.dynamics.force_field import PotentialForces
from mlip_design.dynamics.measure import measure, summarize
from mlip_design.dynamics.protocol import Protocol
from mlip_design.dynamics.simulate import relax_all, simulate
from mlip_design.potential import Potential
from mlip_design.structures import Structure

MEASURES = ("drift", "fluctuation", "survival", "temperature_spike")
"""Of `mlip_design.dynamics.measure.summarize`: meV/atom/ps, meV/atom, a fraction, K."""
KEYS = (*(f"val/md/{name}" for name in MEASURES), "val/md/seconds")
"""What is logged."""


class Dynamics(Periodic):
    """Relax and simulate a few validation structures in NVE after validation; log medians and the share that survives.

    It runs in float64, whatever the training does, on the averaged weights: it moves before a callback that averages
    them by itself. Where no trajectory came to its end, drift and fluctuation are NaN. The ranks share the structures.

    n_structures: spread evenly over the validation set. seeds: trajectories of each. relax_steps: at most. temperature:
    K, of the velocities at the start. time_step: fs. every_n_epochs: simulate after the validation of every n-th epoch;
    callbacks that monitor a value must keep the same cadence. max_atoms: that move at once.
    """

    name, group, keys = "dynamics", "md", KEYS

    def __init__(
        self,
        n_structures: int,
        seeds: int,
        relax_steps: int,
        temperature: float,
        time_step: float,
        picoseconds: float,
        every_n_epochs: int,
        max_atoms: int,
    ):
        if min(n_structures, seeds, every_n_epochs) < 1:
            raise ValueError("callbacks.dynamics: n_structures, seeds and every_n_epochs must be at least 1")
        steps = round(1000 * picoseconds / time_step) if time_step > 0 else 1
        self.protocol = Protocol(
            temperature=temperature, time_step=time_step, steps=steps, relax_steps=relax_steps
        )
        self.n_structures = n_structures
        self.seeds = list(range(1, seeds + 1))
        super().__init__(every_n_epochs)
        self.max_atoms = max_atoms
        self.structures: list[Structure] = []

    def prepare(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the structures."""
        dataset = trainer.datamodule.splits["val"]
        count = min(self.n_structures, len(dataset))
        self.structures = [dataset[index] for index in np.arange(count) * len(dataset) // count]

    def measure(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Simulate this rank's share of the structures, and log what sums up all."""
        start = time.perf_counter()
        potential = deepcopy(pl_module.potential).double().requires_grad_(False)
        share = list(enumerate(self.structures))[trainer.global_rank :: trainer.world_size]
        found = gather(self.measured(potential, dict(share)) if share else {})
        summary = summarize(list(found.values()))
        values = [math.nan if summary[name] is None else summary[name] for name in MEASURES]
        taken = time.perf_counter() - start
        pl_module.log_dict(dict(zip(KEYS, [*values, taken], strict=True)), batch_size=1, sync_dist=True)

    def measured(self, potential: Potential, structures: dict[int, Structure]) -> dict[tuple, dict[str, Any]]:
        """(structure, seed) -> what became of the trajectory."""
        force_field = PotentialForces(potential)
        starts = relax_all(force_field, structures, self.protocol, self.max_atoms)
        found = simulate(force_field, starts, self.protocol, self.seeds, self.max_atoms)
        return {(one.structure, one.seed): measure(one, self.protocol) for one in found}
