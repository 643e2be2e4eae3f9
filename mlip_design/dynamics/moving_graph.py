"""`MovingGraph`: the candidate pairs of systems that move, as one `AtomGraph`, on the device of the potential.

Pairs are found within cutoff + skin, and again only for a system of which an atom has moved by half of the skin; until
then those within the cutoff are among them (see `mlip_design.pair_list`).
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mlip_design.dynamics.systems import Systems
from mlip_design.graph import AtomGraph, join_structures
from mlip_design.neighbors import CandidatePairs, candidate_pairs
from mlip_design.potential import Potential


class MovingGraph:
    """Graphs of one set of systems after the other. skin: Å; 0 searches every time."""

    def __init__(self, potential: Potential, skin: float):
        self.potential = potential
        self.skin = skin
        self.numbers: np.ndarray | None = None
        """Of the systems that the pairs belong to."""
        self.searched = np.empty((0, 3))
        """Positions (n_atoms, 3), Å, at which the pairs of each system were found."""
        self.pairs: list[CandidatePairs] = []
        self.n_searches = 0

    def __call__(self, systems: Systems) -> AtomGraph:
        """All pairs closer than the cutoff, sorted as `batch_structures` sorts them."""
        stale = self.stale(systems)
        if stale.any():
            self.search(systems, stale)
        positions = torch.from_numpy(systems.positions).to(self.potential.device)
        graph = self.graph
        distance = torch.linalg.vector_norm(
            positions[graph.target] - positions[graph.source] + self.lattice, dim=1
        )
        return replace(
            within(graph, distance < self.potential.cutoff), positions=positions.to(self.potential.dtype)
        )

    def stale(self, systems: Systems) -> np.ndarray:
        """(n_systems,) bool, whose pairs may be incomplete."""
        if self.numbers is not systems.numbers or not self.skin:
            return np.ones(systems.n_systems, dtype=bool)
        moved = np.linalg.norm(systems.positions - self.searched, axis=1)
        return systems.largest(moved) > self.skin / 2

    def search(self, systems: Systems, stale: np.ndarray) -> None:
        """Find the pairs of some systems, (n_systems,) bool, anew."""
        structures = systems.structures()
        if self.numbers is not systems.numbers:
            self.numbers, self.searched = systems.numbers, systems.positions.copy()
            self.pairs = [None] * systems.n_systems
        reach = self.potential.cutoff + self.skin
        for number in np.flatnonzero(stale):
            one = structures[number]
            self.pairs[number] = candidate_pairs(one.positions, one.cell, one.pbc, reach)
        atoms = stale[systems.index]
        self.searched[atoms] = systems.positions[atoms]
        self.n_searches += int(stale.sum())
        self.graph = join_structures(structures, self.pairs, self.potential.dtype).to(self.potential.device)
        shifts = np.concatenate([pairs.shift for pairs in self.pairs])
        of_edge = np.repeat(np.arange(systems.n_systems), [len(pairs.source) for pairs in self.pairs])
        lattice = (shifts[:, :, None] * systems.cells[of_edge]).sum(axis=1)
        self.lattice = torch.from_numpy(lattice).to(self.potential.device)


def within(graph: AtomGraph, inside: Tensor) -> AtomGraph:
    """The graph with some of its edges, (n_edges,) bool; one whose opposite is not chosen, by rounding, is left out."""
    kept = torch.nonzero(inside & inside[graph.reverse]).squeeze(1)
    renumbered = torch.empty_like(graph.source)
    renumbered[kept] = torch.arange(len(kept), device=kept.device)
    return replace(
        graph,
        source=graph.source[kept],
        target=graph.target[kept],
        shift=graph.shift[kept],
        reverse=renumbered[graph.reverse[kept]],
    )
