"""Models for the tests of dynamics: a smooth Morse molecule, the same with a jump, springs, and what fails."""

import os
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from held import note

DEPTH, STEEPNESS, LENGTH = 2.0, 2.0, 1.2
"""eV, 1/Å, Å."""


class Morse(Calculator):
    """Every pair bound by DEPTH (1 - exp(-STEEPNESS (r - LENGTH)))^2; energy jumps by `jump` (eV) beyond `edge` (Å)."""

    implemented_properties: ClassVar = ["energy", "forces"]

    def __init__(self, jump: float = 0.0, edge: float = LENGTH):
        super().__init__()
        self.jump, self.edge = jump, edge

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """See ASE."""
        super().calculate(atoms, properties, system_changes)
        ends = self.atoms.positions[None] - self.atoms.positions[:, None]
        first, second = np.triu_indices(len(self.atoms), 1)
        vectors = ends[first, second]
        lengths = np.linalg.norm(vectors, axis=1)
        decay = np.exp(-STEEPNESS * (lengths - LENGTH))
        energy = (DEPTH * (1 - decay) ** 2).sum() + self.jump * (lengths > self.edge).sum()
        pulls = (2 * DEPTH * STEEPNESS * (1 - decay) * decay / lengths)[:, None] * vectors
        forces = np.zeros_like(self.atoms.positions)
        np.add.at(forces, first, pulls)
        np.add.at(forces, second, -pulls)
        self.results = {"energy": float(energy), "forces": forces}


class Springs(Calculator):
    """Every atom on a spring of its own to the origin: k = `stiffness` eV/Å^2."""

    implemented_properties: ClassVar = ["energy", "forces"]

    def __init__(self, stiffness: float = 1.0):
        super().__init__()
        self.stiffness = stiffness

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """See ASE."""
        super().calculate(atoms, properties, system_changes)
        energy = self.stiffness * (self.atoms.positions**2).sum() / 2
        self.results = {"energy": float(energy), "forces": -self.stiffness * self.atoms.positions}


class Failing(Morse):
    """For molecules with an `element`, from the `after`-th evaluation of one: raise, nan, push apart, or heat up."""

    def __init__(self, how: str, element: str = "N", after: int = 30):
        super().__init__()
        self.how, self.element, self.after, self.count = how, element, after, 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """See ASE."""
        super().calculate(atoms, properties, system_changes)
        if self.element not in self.atoms.symbols:
            return
        self.count += 1
        if self.count < self.after:
            return
        if self.how == "raise":
            raise CalculationFailed("SCF not converged")
        if self.how == "nan":
            self.results["forces"] = self.results["forces"] * np.nan
        if self.how in ("apart", "far"):
            away = self.atoms.positions - self.atoms.positions.mean(axis=0)
            self.results["forces"] = {"apart": 0.5, "far": 1e20}[self.how] * away
        if self.how == "climb":
            self.results["energy"] += 100.0


class Slow(Morse):
    """Writes a line to `folder`/log for everything it computes, see `held`, then takes `seconds`."""

    def __init__(self, folder: str, seconds: float = 0.0):
        super().__init__()
        self.log, self.seconds = Path(folder) / "log", seconds

    def calculate(self, *arguments):
        """See ASE."""
        note(self.log, f"{os.getpid()}")
        time.sleep(self.seconds)
        super().calculate(*arguments)


def triangle(symbols: str = "COS", length: float = LENGTH) -> Atoms:
    """Three atoms, nearly at the lengths of `Morse`."""
    positions = np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.866, 0]]) * length
    return Atoms(symbols, positions + 0.01 * np.arange(9).reshape(3, 3) % 0.04)
