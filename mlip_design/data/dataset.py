"""Labelled structures in memory, once, as flat arrays; and what they tell about their labels."""

from array import array
from collections.abc import Iterable
from copy import copy

import numpy as np
from torch.utils.data import Dataset

from mlip_design.potential import Statistics
from mlip_design.structures import Structure


class StructureDataset(Dataset):
    """Structures packed into a few arrays, filled one structure at a time; worker processes share them.

    Indexing returns a `Structure` whose arrays are views.
    """

    def __init__(self, structures: Iterable[Structure]):
        numbers, atom_values, graph_values, sizes = array("B"), array("d"), array("d"), array("q")
        for structure in structures:
            numbers.frombytes(structure.numbers.astype(np.uint8).tobytes())
            atom_values.frombytes(np.hstack([structure.positions, structure.forces]).tobytes())
            stress = np.full((3, 3), np.nan) if structure.stress is None else structure.stress
            row = [structure.cell.ravel(), structure.pbc, [structure.energy], stress.ravel()]
            graph_values.frombytes(np.concatenate(row).astype(np.float64).tobytes())
            sizes.append(len(structure.numbers))
        self.sizes = np.frombuffer(sizes, dtype=np.int64)
        """(n_structures,) number of atoms of each."""
        self.first = np.cumsum(self.sizes) - self.sizes
        self.numbers = np.frombuffer(numbers, dtype=np.uint8)
        self.atom_values = np.frombuffer(atom_values, dtype=np.float64).reshape(-1, 6)
        self.graph_values = np.frombuffer(graph_values, dtype=np.float64).reshape(-1, 22)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Structure:
        atoms = slice(self.first[index], self.first[index] + self.sizes[index])
        row = self.graph_values[index]
        return Structure(
            numbers=self.numbers[atoms].astype(np.int64),
            positions=self.atom_values[atoms, :3],
            cell=row[:9].reshape(3, 3),
            pbc=row[9:12] != 0,
            energy=float(row[12]),
            forces=self.atom_values[atoms, 3:],
            stress=None if np.isnan(row[13]) else row[13:].reshape(3, 3),
        )

    def subset(self, indices: np.ndarray) -> "StructureDataset":
        """Some of the structures, (n_chosen,) indices; their atoms are shared with this data set."""
        chosen = copy(self)
        chosen.sizes, chosen.first = self.sizes[indices], self.first[indices]
        chosen.graph_values = self.graph_values[indices]
        return chosen

    @property
    def rows(self) -> np.ndarray:
        """(n_atoms,) rows of the atom arrays, structure by structure."""
        own = np.cumsum(self.sizes) - self.sizes
        return np.repeat(self.first - own, self.sizes) + np.arange(self.sizes.sum())

    @property
    def elements(self) -> list[int]:
        """Atomic numbers that occur, ascending."""
        return np.unique(self.numbers[self.rows]).tolist()

    @property
    def mean_absolute_force(self) -> float:
        """Mean absolute force component, eV/Å: the force MAE of a model that predicts zero."""
        return float(np.abs(self.atom_values[self.rows, 3:]).mean())

    def statistics(self) -> Statistics:
        """Reference energies by least squares of energies on composition (float64), and the force RMS."""
        elements = np.array(self.elements)
        graph = np.repeat(np.arange(len(self)), self.sizes)
        column = np.searchsorted(elements, self.numbers[self.rows])
        composition = np.zeros((len(self), len(elements)))
        np.add.at(composition, (graph, column), 1.0)
        energies, *_ = np.linalg.lstsq(composition, self.graph_values[:, 12], rcond=None)
        rms = float(np.sqrt(np.square(self.atom_values[self.rows, 3:]).mean()))
        return Statistics(dict(zip(elements.tolist(), energies.tolist(), strict=True)), rms or 1.0)
