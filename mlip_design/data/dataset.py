"""Labelled structures, in memory or in a store, or some of them; and what they tell about their labels."""

from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np
from torch.utils.data import Dataset

from mlip_design.data.label_statistics import LabelChunk, LabelStatistics, gather, mean_neighbors
from mlip_design.data.packing import ENERGY, Packed, pack
from mlip_design.potential import Statistics
from mlip_design.structures import Structure

CHUNK = 4096
"""Structures whose labels are copied together where all are gone through."""


class StructureDataset(Dataset):
    """Structures, packed into memory one at a time unless they are packed already. Indexing returns a `Structure`.

    indices: (n_structures,) which of the packed structures, None for all.
    """

    def __init__(self, structures: Iterable[Structure] | Packed, indices: np.ndarray | None = None):
        self.packed = structures if isinstance(structures, Packed) else pack(structures)
        self.indices = np.arange(len(self.packed.sizes)) if indices is None else np.asarray(indices)
        self.sizes = self.packed.sizes[self.indices]
        """(n_structures,) number of atoms of each."""

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Structure:
        return self.packed.structure(self.indices[index])

    def subset(self, indices: np.ndarray) -> "StructureDataset":
        """Some of the structures, (n_chosen,) indices; nothing is copied."""
        return StructureDataset(self.packed, self.indices[indices])

    @property
    def elements(self) -> list[int]:
        """Atomic numbers that occur, ascending."""
        return sorted(self.labels.reference_energies)

    @property
    def mean_absolute_force(self) -> float:
        """Mean absolute force component, eV/Å: the force MAE of a model that predicts zero."""
        return self.labels.mean_absolute_force

    @cached_property
    def labels(self) -> LabelStatistics:
        """What all labels tell, gone through once, a few thousand structures at a time."""
        return gather(self.chunks())

    def statistics(self, cutoff: float) -> Statistics:
        """What a potential takes over from its training set. cutoff: Å, of the neighbours that are counted."""
        return Statistics(
            reference_energies=self.labels.reference_energies,
            force_rms=self.labels.force_rms or 1.0,
            mean_neighbors=mean_neighbors(self, cutoff) or 1.0,
        )

    def chunks(self) -> Iterator[LabelChunk]:
        """The labels of all structures in order, in copies of bounded size."""
        for start in range(0, len(self), CHUNK):
            indices = self.indices[start : start + CHUNK]
            sizes = self.packed.sizes[indices]
            own = np.cumsum(sizes) - sizes
            rows = np.repeat(self.packed.first[indices] - own, sizes) + np.arange(sizes.sum())
            yield LabelChunk(
                graph_index=np.repeat(np.arange(len(indices)), sizes),
                numbers=self.packed.numbers[rows],
                energies=self.packed.graph_values[indices, ENERGY],
                forces=self.packed.atom_values[rows, 3:],
            )
