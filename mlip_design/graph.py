"""`AtomGraph`: a batch of structures as one disconnected graph of tensors."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from mlip_design.neighbors import CandidatePairs, candidate_pairs
from mlip_design.structures import Structure


@dataclass(frozen=True)
class AtomGraph:
    """n_graphs structures side by side. Edges are candidates within a cutoff, sorted by source, with both directions.

    Labels are None where they are unknown.
    """

    numbers: Tensor
    """(n_atoms,) int64, atomic numbers."""
    positions: Tensor
    """(n_atoms, 3), Å."""
    cell: Tensor
    """(n_graphs, 3, 3), Å, lattice vectors in rows; zeros for molecules."""
    graph_index: Tensor
    """(n_atoms,) int64, the structure each atom belongs to."""
    source: Tensor
    """(n_edges,) int64."""
    target: Tensor
    """(n_edges,) int64."""
    shift: Tensor
    """(n_edges, 3), whole numbers S of displacement = positions[j] + S @ cell - positions[i]."""
    reverse: Tensor
    """(n_edges,) int64, index of (j, i, -S)."""
    energy: Tensor | None = None
    """(n_graphs,) float64, eV."""
    forces: Tensor | None = None
    """(n_atoms, 3), eV/Å."""
    stress: Tensor | None = None
    """(n_graphs, 3, 3), eV/Å^3; NaN for structures without."""

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all structures together."""
        return len(self.numbers)

    @property
    def n_graphs(self) -> int:
        """Number of structures."""
        return len(self.cell)

    @property
    def atoms_per_graph(self) -> Tensor:
        """(n_graphs,) int64."""
        return torch.bincount(self.graph_index, minlength=self.n_graphs)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "AtomGraph":
        """The same graph on another device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {k: v.to(device, non_blocking=non_blocking) for k, v in values.items() if v is not None}
        return replace(self, **moved)

    def __reduce__(self):
        """Go from process to process as arrays on the CPU: a tensor alone costs a file descriptor and a connection."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return unpickled, ({k: v.detach().cpu().numpy() for k, v in values.items() if v is not None},)


def unpickled(arrays: dict[str, np.ndarray]) -> AtomGraph:
    """The graph of these arrays, by name of field."""
    return AtomGraph(**{name: torch.from_numpy(values) for name, values in arrays.items()})


def rotated(graph: AtomGraph, rotations: Tensor) -> AtomGraph:
    """Structures and their labels turned, each by its own rotation: v -> v R. rotations: (n_graphs, 3, 3)."""
    of_atom = rotations[graph.graph_index]

    def turned(vectors: Tensor | None) -> Tensor | None:
        return None if vectors is None else (vectors[:, :, None] * of_atom).sum(1)

    stress = None if graph.stress is None else rotations.transpose(1, 2) @ graph.stress @ rotations
    positions, forces = turned(graph.positions), turned(graph.forces)
    return replace(graph, positions=positions, cell=graph.cell @ rotations, forces=forces, stress=stress)


def random_rotations(count: int, seed: tuple[int, ...], like: Tensor) -> Tensor:
    """(count, 3, 3), uniformly distributed, of the type and on the device of `like`; the same for the same seed."""
    rotations = Rotation.random(count, rng=np.random.default_rng(seed)).as_matrix()
    return torch.from_numpy(rotations.reshape(count, 3, 3)).to(like)


def in_batches(structures: Iterable[Structure], max_atoms: int) -> Iterator[list[Structure]]:
    """Structures in order, in lists of at most max_atoms atoms (one structure at least)."""
    waiting, atoms = [], 0
    for structure in structures:
        if waiting and atoms + len(structure.numbers) > max_atoms:
            yield waiting
            waiting, atoms = [], 0
        waiting.append(structure)
        atoms += len(structure.numbers)
    if waiting:
        yield waiting


def batch_structures(structures: Sequence[Structure], cutoff: float, dtype: torch.dtype) -> AtomGraph:
    """Find candidate pairs within `cutoff` (Å) and join the structures to one graph with floats of `dtype`."""
    return join_structures(
        structures, [candidate_pairs(s.positions, s.cell, s.pbc, cutoff) for s in structures], dtype
    )


def join_structures(
    structures: Sequence[Structure], pairs: Sequence[CandidatePairs], dtype: torch.dtype
) -> AtomGraph:
    """One graph of structures and the candidate pairs of each, with floats of `dtype`."""
    sizes = np.array([len(s.numbers) for s in structures])
    edges = np.array([len(p.source) for p in pairs])
    first_atom = np.repeat(np.cumsum(sizes) - sizes, edges)
    first_edge = np.repeat(np.cumsum(edges) - edges, edges)

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(pair, name) for pair in pairs])

    labelled = all(s.energy is not None and s.forces is not None for s in structures)
    stressed = any(s.stress is not None for s in structures)
    unknown = np.full((3, 3), np.nan)
    return AtomGraph(
        numbers=torch.from_numpy(np.concatenate([s.numbers for s in structures])),
        positions=torch.from_numpy(np.concatenate([s.positions for s in structures])).to(dtype),
        cell=torch.from_numpy(np.stack([s.cell for s in structures])).to(dtype),
        graph_index=torch.from_numpy(np.repeat(np.arange(len(structures)), sizes)),
        source=torch.from_numpy(joined("source") + first_atom),
        target=torch.from_numpy(joined("target") + first_atom),
        shift=torch.from_numpy(joined("shift")).to(dtype),
        reverse=torch.from_numpy(joined("reverse") + first_edge),
        energy=torch.tensor([s.energy for s in structures], dtype=torch.float64) if labelled else None,
        forces=torch.from_numpy(np.concatenate([s.forces for s in structures])).to(dtype) if labelled else None,
        stress=torch.from_numpy(np.stack([unknown if s.stress is None else s.stress for s in structures])).to(
            dtype
        )
        if stressed
        else None,
    )
