"""The discontinuity probe as a validation callback: the largest jumps of the weights that will be saved."""

import math
import time
import warnings
from collections.abc import Iterable, Sequence
from copy import deepcopy
from functools import partial

import pytorch_lightning as pl

from callbacks.bsct import gather
from callbacks.periodic import Periodic
from mlip_design.bsct.probe.paths import Path
from mlip_design.bsct.probe.walk import NoPathError, find_path, walk
from mlip_design.evaluator import predict
from mlip_design.potential import Potential
from mlip_design.structures import Structure

KEYS = ("val/probe/energy_jump", "val/probe/force_jump", "val/probe/seconds")
"""What is logged: eV, eV/Å and s."""


class Probe(Periodic):
    """Walk a few validation structures along paths after validation, and log the largest jumps found.

    It runs in float64, whatever the training does, on the averaged weights: it moves before a callback that averages
    them by itself. Where no jump is found but a path was not walked to its end, the values are NaN, with a warning. The
    walks are shared out over the ranks.

    structures: indices into the validation set, from 0. paths: as `mlip-design probe --path` takes them; a structure
    that has none of a kind is passed over. every_n_epochs: probe after the validation of every n-th epoch; callbacks
    that monitor a value must keep the same cadence. max_evaluations: along one path at most. max_atoms: atoms in one
    forward.
    """

    name, group, keys = "probe", "probe", KEYS

    def __init__(
        self,
        structures: Sequence[int],
        paths: Sequence[str],
        every_n_epochs: int,
        max_evaluations: int,
        max_atoms: int,
    ):
        self.structures = structures
        self.texts = paths
        super().__init__(every_n_epochs)
        self.max_evaluations = max_evaluations
        self.max_atoms = max_atoms
        self.paths: dict[str, Path] = {}

    def prepare(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the paths."""
        chosen = choose(trainer.datamodule.splits["val"], self.structures)
        self.paths = find_paths(chosen, self.texts, pl_module.potential.cutoff)

    def measure(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Walk this rank's share of the paths, and log the largest jumps of all."""
        start = time.perf_counter()
        potential = deepcopy(pl_module.potential).double()
        share = list(self.paths.items())[trainer.global_rank :: trainer.world_size]
        found = gather({name: self.jumps(potential, path) for name, path in share})
        energies, forces, reasons = zip(*found.values(), strict=True)
        for name, reason in zip(found, reasons, strict=True):
            if reason and trainer.is_global_zero:
                warnings.warn(f"probe of {name}: {reason}", stacklevel=2)
        values = (largest(energies), largest(forces), time.perf_counter() - start)
        pl_module.log_dict(dict(zip(KEYS, values, strict=True)), batch_size=1, sync_dist=True)

    def jumps(self, potential: Potential, path: Path) -> tuple[float, float, str]:
        """The largest jump of energy (eV) and of forces (eV/Å) along a path; or NaN, and why it is not known."""
        evaluate = partial(predict, potential, max_atoms=self.max_atoms)
        try:
            found = walk(evaluate, path, self.max_evaluations)
        except ValueError as error:  # not finite somewhere, or too few evaluations to begin with
            return math.nan, math.nan, str(error)
        if found.probe.exhausted and not found.probe.jumps:
            return math.nan, math.nan, f"not walked to its end with {self.max_evaluations} evaluations"
        return found.largest_energy_jump, found.largest_force_jump, ""


def choose(dataset: Sequence[Structure], indices: Sequence[int]) -> dict[int, Structure]:
    """Structures of a data set by index. Raises ValueError for one that is not there."""
    for index in indices:
        if not 0 <= index < len(dataset):
            raise ValueError(
                f"callbacks.probe.structures: {index} is not from 0 to {len(dataset) - 1}, as data.val has them"
            )
    return {index: dataset[index] for index in indices}


def find_paths(structures: dict[int, Structure], texts: Sequence[str], cutoff: float) -> dict[str, Path]:
    """The paths that texts name, of all structures that have them, by a name of their own.

    Raises ValueError for a text of no meaning, and if no path is left.
    """
    paths = {}
    for index, structure in structures.items():
        for text in texts:
            try:
                path = find_path(structure, text, cutoff)
            except NoPathError:
                continue
            except ValueError as error:
                raise ValueError(f"callbacks.probe.paths: {str(error).removeprefix('--path ')}") from error
            paths[f"structure {index}, {path.name}"] = path
    if not paths:
        raise ValueError(
            f"callbacks.probe: structures {list(structures)} of data.val have no path of {', '.join(texts)}"
        )
    return paths


def largest(jumps: Iterable[float]) -> float:
    """The largest jump if there is one; else NaN if any is not known, else 0."""
    return max(jumps, key=lambda jump: (jump > 0, math.isnan(jump), jump))
