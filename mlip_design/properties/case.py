"""One structure, the model and the reference, with the minimum that each relaxes it to."""

from dataclasses import dataclass
from functools import cached_property

import ase
import numpy as np
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from mlip_design.evaluator import Evaluator
from mlip_design.properties.measured import Failed
from mlip_design.properties.view import seen_by
from mlip_design.structures import Structure


@dataclass(frozen=True)
class Settings:
    """force: largest force on an atom of a relaxed structure, eV/Å. steps: of a relaxation at most."""

    force: float
    steps: int

    def __post_init__(self):
        if not 0 < self.force < 1:
            raise ValueError(f"--fmax: {self.force:g}, expected more than 0 and less than 1 (eV/Å)")


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where a relaxation ended. force: largest force on an atom there, and on the cell of a crystal, eV/Å."""

    atoms: ase.Atoms
    steps: int
    converged: bool
    force: float

    @property
    def shortfall(self) -> str:
        """What is missing, as words."""
        return f"{self.force:.2g} eV/Å left after {self.steps} steps"


@dataclass(frozen=True, eq=False)
class Case:
    """What a property is computed of."""

    structure: Structure
    model: Evaluator
    reference: Evaluator
    settings: Settings

    @cached_property
    def model_end(self) -> Minimum:
        """Where the model's relaxation of the given structure ends."""
        return relaxed(self.model, self.structure, self.settings)

    @cached_property
    def reference_end(self) -> Minimum:
        """Where the reference's relaxation of the given structure ends."""
        return relaxed(self.reference, self.structure, self.settings)

    @property
    def reference_minimum(self) -> ase.Atoms:
        """The minimum of the reference. Raises Failed if it was not reached: there is nothing to compare with."""
        if not self.reference_end.converged:
            raise Failed(f"the reference does not relax: {self.reference_end.shortfall}")
        return self.reference_end.atoms

    @property
    def model_minimum(self) -> ase.Atoms:
        """The minimum of the model. Raises Failed if it was not reached."""
        if not self.model_end.converged:
            raise Failed(f"the model does not relax: {self.model_end.shortfall}")
        return self.model_end.atoms


def relaxed(evaluate: Evaluator, structure: Structure, settings: Settings) -> Minimum:
    """Relax a structure by BFGS, a crystal together with its cell. Raises Failed for a crystal without a stress."""
    atoms = seen_by(evaluate, structure)
    if structure.pbc.any() and not evaluate.has_stress:
        raise Failed(f"{evaluate.name} gives no stress, without which no cell can be relaxed")
    target = FrechetCellFilter(atoms) if structure.pbc.any() else atoms
    return descended(atoms, target, settings)


def settled(atoms: ase.Atoms, settings: Settings) -> ase.Atoms:
    """Atoms relaxed in their cell, in place. Raises Failed if they do not come to rest."""
    found = descended(atoms, atoms, settings)
    if not found.converged:
        raise Failed(f"{atoms.calc.evaluate.name}: atoms of a strained cell do not relax: {found.shortfall}")
    return atoms


def descended(atoms: ase.Atoms, target: ase.Atoms | FrechetCellFilter, settings: Settings) -> Minimum:
    """BFGS on atoms, or on what wraps them."""
    optimizer = BFGS(target, logfile=None)
    converged = optimizer.run(settings.force, settings.steps)
    force = float(np.linalg.norm(target.get_forces(), axis=1).max())
    return Minimum(atoms, optimizer.nsteps, bool(converged), force)
