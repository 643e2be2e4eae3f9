"""What labels tell, gathered in one pass over chunks of structures, whatever the size of the set.

Reference energies are the least-squares solution of composition @ energies = total energy, of least norm where
compositions leave it open. The triangle of a QR factorisation is carried from chunk to chunk: as exact as solving the
whole at once, unlike normal equations.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlip_design.neighbors import candidate_pairs
from mlip_design.structures import MAX_ATOMIC_NUMBER, Structure

NEIGHBOR_SAMPLE = 1000
"""Structures at most, evenly spread over a set, whose neighbours are counted."""


class LabelChunk(NamedTuple):
    """Labels of some structures."""

    graph_index: np.ndarray
    """(n_atoms,) int64, the structure of each atom."""
    numbers: np.ndarray
    """(n_atoms,) atomic numbers."""
    energies: np.ndarray
    """(n_structures,), eV."""
    forces: np.ndarray
    """(n_atoms, 3), eV/Å."""


@dataclass(frozen=True)
class LabelStatistics:
    """Labels of a set of structures, summed up."""

    reference_energies: dict[int, float]
    """Atomic number -> eV an atom, ascending."""
    force_rms: float
    """eV/Å, of the components."""
    mean_absolute_force: float
    """eV/Å, of the components."""


class ReferenceEnergies:
    """Least squares of energies on composition, a chunk at a time."""

    def __init__(self):
        self.triangle = np.zeros((0, MAX_ATOMIC_NUMBER + 2))

    def add(self, composition: np.ndarray, energies: np.ndarray) -> None:
        """composition: (n_structures, 119), atoms of each element. energies: (n_structures,), eV."""
        rows = np.hstack([composition, energies[:, None]])
        self.triangle = np.linalg.qr(np.vstack([self.triangle, rows]), mode="r")

    def solve(self) -> dict[int, float]:
        """Atomic number -> eV an atom, for the elements that occurred."""
        elements = np.flatnonzero(self.triangle[:, :-1].any(axis=0))
        energies, *_ = np.linalg.lstsq(self.triangle[:, elements], self.triangle[:, -1], rcond=None)
        return dict(zip(elements.tolist(), energies.tolist(), strict=True))


def compositions(numbers: np.ndarray, graph_index: np.ndarray, count: int) -> np.ndarray:
    """(count, 119), how many atoms of each element every structure has."""
    width = MAX_ATOMIC_NUMBER + 1
    flat = np.bincount(graph_index * width + numbers, minlength=count * width)
    return flat.reshape(count, width).astype(np.float64)


def gather(chunks: Iterable[LabelChunk]) -> LabelStatistics:
    """Statistics of all chunks together."""
    references = ReferenceEnergies()
    squares = absolutes = components = 0.0
    for chunk in chunks:
        references.add(compositions(chunk.numbers, chunk.graph_index, len(chunk.energies)), chunk.energies)
        squares += float(np.square(chunk.forces).sum())
        absolutes += float(np.abs(chunk.forces).sum())
        components += chunk.forces.size
    return LabelStatistics(references.solve(), np.sqrt(squares / components).item(), absolutes / components)


def mean_neighbors(structures: Sequence[Structure], cutoff: float) -> float:
    """Neighbours an atom has within the cutoff (Å), mean over the atoms of `NEIGHBOR_SAMPLE` structures at most."""
    sample = np.unique(np.linspace(0, len(structures) - 1, NEIGHBOR_SAMPLE).round().astype(int))
    edges = atoms = 0
    for index in sample.tolist():
        structure = structures[index]
        edges += len(candidate_pairs(structure.positions, structure.cell, structure.pbc, cutoff).source)
        atoms += len(structure.numbers)
    return edges / atoms
