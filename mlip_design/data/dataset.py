"""Labelled structures in memory, once, as flat arrays; and what they tell about their labels."""

from array import array
from collections.abc import Iterable

import numpy as np
from torch.utils.data import Dataset

from mlip_design.potential import Statistics
from mlip_design.structures import Structure


class StructureDataset(Dataset):
    """Structures packed into a few arrays, filled one structure at a time; worker processes share them.

    Indexing returns a `Structure` whose arrays are views.
    """

    def __init__(self, structures: Iterable[Structure]):
        numbers, atom_values, graph_values, offsets = array("B"), array("d"), array("d"), array("q", [0])
        for structure in structures:
            numbers.frombytes(structure.numbers.astype(np.uint8).tobytes())
            atom_values.frombytes(np.hstack([structure.positions, structure.forces]).tobytes())
            stress = np.full((3, 3), np.nan) if structure.stress is None else structure.stress
            row = [structure.cell.ravel(), structure.pbc, [structure.energy], stress.ravel()]
            graph_values.frombytes(np.concatenate(row).astype(np.float64).tobytes())
            offsets.append(offsets[-1] + len(structure.numbers))
        self.offsets = np.frombuffer(offsets, dtype=np.int64)
        self.numbers = np.frombuffer(numbers, dtype=np.uint8)
        self.atom_values = np.frombuffer(atom_values, dtype=np.float64).reshape(-1, 6)
        self.graph_values = np.frombuffer(graph_values, dtype=np.float64).reshape(-1, 22)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Structure:
        atoms = slice(self.offsets[index], self.offsets[index + 1])
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

    def subset(self, indices: Iterable[int]) -> "StructureDataset":
        """A data set of its own of some structures, (n_chosen,) indices."""
        return StructureDataset(self[int(i)] for i in indices)

    @property
    def sizes(self) -> np.ndarray:
        """(n_structures,) number of atoms of each."""
        return np.diff(self.offsets)

    @property
    def elements(self) -> list[int]:
        """Atomic numbers that occur, ascending."""
        return np.unique(self.numbers).tolist()

    @property
    def mean_absolute_force(self) -> float:
        """Mean absolute force component, eV/Å: the force MAE of a model that predicts zero."""
        return float(np.abs(self.atom_values[:, 3:]).mean())

    def statistics(self) -> Statistics:
        """Reference energies by least squares of energies on composition (float64), and the force RMS."""
        elements = np.array(self.elements)
        graph = np.repeat(np.arange(len(self)), self.sizes)
        column = np.searchsorted(elements, self.numbers)
        composition = np.zeros((len(self), len(elements)))
        np.add.at(composition, (graph, column), 1.0)
        energies, *_ = np.linalg.lstsq(composition, self.graph_values[:, 12], rcond=None)
        rms = float(np.sqrt(np.square(self.atom_values[:, 3:]).mean()))
        return Statistics(dict(zip(elements.tolist(), energies.tolist(), strict=True)), rms or 1.0)
