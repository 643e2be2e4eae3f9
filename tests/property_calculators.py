"""Models for the tests of properties: springs with known constants, EMT that can be held, is wrong, or fails."""

import os
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.calculators.emt import EMT
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress
from held import note

SPACING = 2.5
"""Å, between neighbours of a crystal of springs."""


class Springs(Calculator):
    """Springs (eV/Å^2) between first and second neighbours of an fcc crystal, at rest at `SPACING`."""

    implemented_properties: ClassVar = ["energy", "forces", "stress"]

    def __init__(self, first: float, second: float):
        super().__init__()
        self.first, self.second = first, second

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        i, d, vectors = neighbor_list("idD", self.atoms, 1.6 * SPACING)
        is_first = d < 1.2 * SPACING
        stiffness = np.where(is_first, self.first, self.second)
        stretched = d - np.where(is_first, 1.0, np.sqrt(2)) * SPACING
        pull = (stiffness * stretched / d)[:, None] * vectors
        forces = np.zeros((len(self.atoms), 3))
        np.add.at(forces, i, pull)
        stress = pull.T @ vectors / 2 / self.atoms.get_volume()
        self.results = {
            "energy": float((stiffness * stretched**2).sum() / 4),
            "forces": forces,
            "stress": full_3x3_to_voigt_6_stress(stress),
        }


class Scaled(EMT):
    """EMT of a crystal or molecule whose lengths are all `factor` times as long."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def calculate(self, atoms, *arguments):
        small = atoms.copy()
        small.set_cell(atoms.cell[:] / self.factor, scale_atoms=False)
        small.positions /= self.factor
        super().calculate(small, *arguments)
        self.atoms = atoms.copy()
        self.results["forces"] = self.results["forces"] / self.factor
        if "stress" in self.results:
            self.results["stress"] = self.results["stress"] / self.factor**3


class Failing(EMT):
    """No answer for anything that holds `element`."""

    def __init__(self, element: str):
        super().__init__()
        self.element = element

    def calculate(self, atoms, *arguments):
        if self.element in atoms.symbols:
            raise CalculationFailed("SCF not converged\nin 50 steps")
        super().calculate(atoms, *arguments)


class Held(EMT):
    """Writes a line to `folder`/calls.log for everything it computes, see `held`."""

    def __init__(self, folder: str):
        super().__init__()
        self.log = Path(folder) / "calls.log"

    def calculate(self, atoms, *arguments):
        note(self.log, f"{os.getpid()} {atoms.symbols}")
        super().calculate(atoms, *arguments)
