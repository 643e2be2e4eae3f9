"""Structures as a few flat arrays, in memory or mapped from files; worker processes share them."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from mlip_design.structures import Structure

ENERGY = 12
"""Column of the energy in `graph_values`."""


class Row(NamedTuple):
    """What one structure adds to the arrays."""

    numbers: np.ndarray
    """(n_atoms,) uint8, atomic numbers."""
    atom_values: np.ndarray
    """(n_atoms, 6), positions (Å) and forces (eV/Å)."""
    graph_values: np.ndarray
    """(22,), cell (9, Å), periodic directions (3), energy (eV), stress (9, eV/Å^3, NaN where unknown)."""


@dataclass(frozen=True)
class Packed:
    """n_structures structures, one after the other."""

    sizes: np.ndarray
    """(n_structures,) int64, atoms of each."""
    groups: np.ndarray
    """(n_structures,) int64; structures of the same group belong together in splits."""
    numbers: np.ndarray
    """(n_atoms,) uint8."""
    atom_values: np.ndarray
    """(n_atoms, 6) float64, as in `Row`."""
    graph_values: np.ndarray
    """(n_structures, 22) float64, as in `Row`."""

    @cached_property
    def first(self) -> np.ndarray:
        """(n_structures,) int64, row of the first atom of each."""
        return np.cumsum(self.sizes) - self.sizes

    def structure(self, index: int) -> Structure:
        """One structure; its positions and forces are views."""
        atoms = slice(self.first[index], self.first[index] + self.sizes[index])
        row = self.graph_values[index]
        stress = row[ENERGY + 1 :]
        return Structure(
            numbers=self.numbers[atoms].astype(np.int64),
            positions=self.atom_values[atoms, :3],
            cell=row[:9].reshape(3, 3),
            pbc=row[9:12] != 0,
            energy=float(row[ENERGY]),
            forces=self.atom_values[atoms, 3:],
            stress=None if np.isnan(stress[0]) else stress.reshape(3, 3),
        )


def packed_row(structure: Structure) -> Row:
    """A labelled structure as rows of the arrays."""
    stress = np.full((3, 3), np.nan) if structure.stress is None else structure.stress
    values = [structure.cell.ravel(), structure.pbc, [structure.energy], stress.ravel()]
    return Row(
        structure.numbers.astype(np.uint8),
        np.hstack([structure.positions, structure.forces]),
        np.concatenate(values).astype(np.float64),
    )


def pack(structures: Iterable[Structure]) -> Packed:
    """Labelled structures in memory, taken one at a time, each a group of its own."""
    numbers, atom_values, graph_values, sizes = array("B"), array("d"), array("d"), array("q")
    for structure in structures:
        row = packed_row(structure)
        numbers.frombytes(row.numbers.tobytes())
        atom_values.frombytes(row.atom_values.tobytes())
        graph_values.frombytes(row.graph_values.tobytes())
        sizes.append(len(structure.numbers))
    return Packed(
        sizes=np.frombuffer(sizes, dtype=np.int64),
        groups=np.arange(len(sizes)),
        numbers=np.frombuffer(numbers, dtype=np.uint8),
        atom_values=np.frombuffer(atom_values, dtype=np.float64).reshape(-1, 6),
        graph_values=np.frombuffer(graph_values, dtype=np.float64).reshape(-1, 22),
    )
