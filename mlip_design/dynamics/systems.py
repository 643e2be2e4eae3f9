"""`Systems`: structures side by side that move, as arrays in float64.

Units are those of ASE: eV, Å, amu; momenta in sqrt(amu eV), so that p^2 / 2m is an energy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from ase.data import atomic_masses

from mlip_design.structures import Structure


@dataclass(frozen=True)
class Systems:
    """n_systems structures; the atoms of one stand together."""

    numbers: np.ndarray
    """(n_atoms,) int64, atomic numbers."""
    masses: np.ndarray
    """(n_atoms, 1), amu."""
    cells: np.ndarray
    """(n_systems, 3, 3), Å; they do not change."""
    pbc: np.ndarray
    """(n_systems, 3) bool."""
    index: np.ndarray
    """(n_atoms,) int64, the system of each atom."""
    positions: np.ndarray
    """(n_atoms, 3), Å, never wrapped into the cell."""
    momenta: np.ndarray
    """(n_atoms, 3), sqrt(amu eV)."""

    @property
    def n_systems(self) -> int:
        """How many there are."""
        return len(self.cells)

    @cached_property
    def sizes(self) -> np.ndarray:
        """(n_systems,) int64, atoms of each."""
        return np.bincount(self.index, minlength=self.n_systems)

    @cached_property
    def starts(self) -> np.ndarray:
        """(n_systems,) int64, the first atom of each."""
        return np.cumsum(self.sizes) - self.sizes

    def totals(self, values: np.ndarray) -> np.ndarray:
        """(n_systems, ...), sums over the atoms of each system of values (n_atoms, ...)."""
        return np.add.reduceat(values, self.starts) if self.n_systems else np.empty((0, *values.shape[1:]))

    def largest(self, values: np.ndarray) -> np.ndarray:
        """(n_systems,), the largest of values (n_atoms,) in each system."""
        return np.maximum.reduceat(values, self.starts) if self.n_systems else np.empty(0)

    @property
    def kinetic_energies(self) -> np.ndarray:
        """(n_systems,), eV."""
        return self.totals((self.momenta**2 / self.masses).sum(axis=1)) / 2

    def chosen(self, which: np.ndarray) -> "Systems":
        """Some of the systems. which: (n_systems,) bool."""
        atoms = which[self.index]
        return Systems(
            self.numbers[atoms],
            self.masses[atoms],
            self.cells[which],
            self.pbc[which],
            (np.cumsum(which) - 1)[self.index[atoms]],
            self.positions[atoms],
            self.momenta[atoms],
        )

    def structures(self) -> list[Structure]:
        """The systems one by one."""
        ends = self.starts[1:]
        parts = zip(
            np.split(self.numbers, ends), np.split(self.positions, ends), self.cells, self.pbc, strict=True
        )
        return [Structure(*part) for part in parts] if self.n_systems else []


def side_by_side(structures: Sequence[Structure]) -> Systems:
    """Structures at rest."""
    numbers = np.concatenate([s.numbers for s in structures])
    positions = np.concatenate([s.positions for s in structures])
    return Systems(
        numbers=numbers,
        masses=atomic_masses[numbers][:, None],
        cells=np.stack([s.cell for s in structures]),
        pbc=np.stack([s.pbc for s in structures]),
        index=np.repeat(np.arange(len(structures)), [len(s.numbers) for s in structures]),
        positions=positions,
        momenta=np.zeros_like(positions),
    )


def kicked(systems: Systems, forces: np.ndarray, duration: float) -> Systems:
    """Momenta changed by forces (n_atoms, 3), eV/Å, over a duration in ASE's unit of time."""
    return replace(systems, momenta=systems.momenta + duration * forces)


def drifted(systems: Systems, duration: float) -> Systems:
    """Positions after moving freely for a duration in ASE's unit of time."""
    return replace(systems, positions=systems.positions + duration * systems.momenta / systems.masses)
