"""Whether energies and forces agree: from a frame to the next, the energy must change by minus the work of the forces.

dE = -(F_1 + F_2)/2 . dx to third order in dx. The median ratio of the two sides is 1; a wrong unit or sign shows as
another number, whatever the method of the labels.
"""

from array import array

import numpy as np
from ase.units import Bohr, Hartree, kcal, mol

from mlip_design.structures import Structure

LARGEST_STEP = 0.3
"""Å, of any atom between two frames that count as neighbours."""
LEAST_WORK = 1e-3
"""eV; smaller changes of energy say nothing."""
LEAST_PAIRS = 10
TOLERANCE = 0.2
"""How far the median ratio may be from 1."""

MEANINGS = {
    -1.0: "forces have the wrong sign, as if they were gradients",
    1 / Hartree: "energies look like hartree, forces like eV/Å",
    Hartree / Bohr: "forces look like hartree/bohr, energies like eV",
    1 / Bohr: "energies look like hartree and forces like hartree/bohr",
    mol / kcal: "energies look like kcal/mol, forces like eV/Å",
    kcal / mol: "forces look like kcal/mol/Å, energies like eV",
    -1 / Bohr: "energies look like hartree and forces like gradients in hartree/bohr",
    -Hartree / Bohr: "forces look like gradients in hartree/bohr, energies like eV",
}
"""Ratio of the change of energy and the work -> what it means."""


class WorkPairs:
    """Changes of energy and works of forces between structures that follow each other, as they come."""

    def __init__(self):
        self.before: Structure | None = None
        self.changes, self.works = array("d"), array("d")

    def add(self, structure: Structure) -> None:
        """Compare a structure with the one before."""
        before, self.before = self.before, structure
        if before is None or not same_atoms(before, structure):
            return
        step = structure.positions - before.positions
        if np.abs(step).max() < LARGEST_STEP:
            work = -0.5 * float(((before.forces + structure.forces) * step).sum())
            if abs(work) > LEAST_WORK:
                self.changes.append(structure.energy - before.energy)
                self.works.append(work)

    @property
    def ratio(self) -> float | None:
        """Median of change over work, None if there are too few pairs."""
        if len(self.works) < LEAST_PAIRS:
            return None
        return float(np.median(np.array(self.changes) / np.array(self.works)))

    @property
    def verdict(self) -> str:
        """What is wrong, or nothing."""
        if self.ratio is None or abs(self.ratio - 1) < TOLERANCE:
            return ""
        for value, meaning in MEANINGS.items():
            if abs(self.ratio / value - 1) < 0.05:
                return meaning
        return "forces are not the derivative of the energies"


def same_atoms(one: Structure, other: Structure) -> bool:
    """Whether two structures differ in their positions only."""
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("numbers", "cell", "pbc"))
