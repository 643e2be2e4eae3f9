"""Bonds that are watched: pairs of atoms closer than 1.2 sums of their covalent radii at the start, images included."""

from dataclasses import dataclass

import numpy as np
from ase.data import covalent_radii

from mlip_design.dynamics.systems import Systems
from mlip_design.neighbors import candidate_pairs

FACTOR = 1.2


@dataclass(frozen=True)
class Bonds:
    """Of all systems."""

    first: np.ndarray
    """(n_bonds,) int64, among all atoms."""
    second: np.ndarray
    """(n_bonds,) int64, among all atoms."""
    lattice: np.ndarray
    """(n_bonds, 3), Å, from the second atom to its image."""
    system: np.ndarray
    """(n_bonds,) int64."""
    relaxed: np.ndarray
    """(n_bonds,), Å."""

    def lengths(self, positions: np.ndarray) -> np.ndarray:
        """(n_bonds,), Å, at positions (n_atoms, 3), Å."""
        return np.linalg.norm(positions[self.second] - positions[self.first] + self.lattice, axis=1)

    def worst(self, positions: np.ndarray, limit: float) -> dict[int, tuple[int, float]]:
        """System -> (bond, its length in Å) that departs most, of those in which one departs by more than limit (Å)."""
        lengths = self.lengths(positions)
        departures = np.abs(lengths - self.relaxed)
        beyond = np.flatnonzero(departures > limit)
        ordered = beyond[np.argsort(departures[beyond])]
        return {int(self.system[bond]): (int(bond), float(lengths[bond])) for bond in ordered}


def find_bonds(systems: Systems) -> Bonds:
    """The bonds of systems as they are."""
    found = [bonded_pairs(*part) for part in zip(systems.structures(), systems.starts, strict=True)]
    first, second, lattice = (np.concatenate(parts) for parts in zip(*found, strict=True))
    bonds = Bonds(first, second, lattice, systems.index[first], np.empty(0))
    return Bonds(first, second, lattice, systems.index[first], bonds.lengths(systems.positions))


def bonded_pairs(structure, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and second atom (n_bonds,), counted from `start`, and the lattice vector (n_bonds, 3), Å, of each bond."""
    radii = FACTOR * covalent_radii[structure.numbers]
    pairs = candidate_pairs(structure.positions, structure.cell, structure.pbc, 2 * radii.max())
    lattice = pairs.shift @ structure.cell
    ends = structure.positions[pairs.target] - structure.positions[pairs.source] + lattice
    close = np.linalg.norm(ends, axis=1) < radii[pairs.source] + radii[pairs.target]
    kept = close & (np.arange(len(pairs.source)) < pairs.reverse)
    return pairs.source[kept] + start, pairs.target[kept] + start, lattice[kept]
