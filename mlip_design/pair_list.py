"""Candidate pairs of a structure that moves: searched for within cutoff + skin, and used again while that suffices.

An atom that was farther than cutoff + skin comes nearer than the cutoff only after the two have moved by skin / 2 or
more: until one has, the pairs within the cutoff are among those that were found, and are picked from them by their
distance. What comes out is what `candidate_pairs` finds.
"""

import numpy as np

from mlip_design.neighbors import CandidatePairs, candidate_pairs
from mlip_design.structures import COINCIDENT, Structure, validate


class PairList:
    """Pairs of one structure in one configuration after the other. cutoff, skin: Å; a skin of 0 searches every time."""

    def __init__(self, cutoff: float, skin: float):
        if not skin >= 0:
            raise ValueError(f"skin: {skin} is not a length of at least 0 Å")
        self.cutoff = cutoff
        self.skin = skin
        self.searched: Structure | None = None
        """Where the last search was made."""
        self.n_searches = 0

    def pairs(self, structure: Structure, where: str = "structure") -> CandidatePairs:
        """All pairs closer than the cutoff; `where` names the structure in errors.

        Raises StructureError for a geometry that no potential can evaluate.
        """
        if not self.suffices(structure):
            self.search(structure, where)
        if not self.skin:
            return self.found
        found = self.found
        ends = structure.positions[found.target] - structure.positions[found.source]
        distance = np.linalg.norm(ends + found.shift @ structure.cell, axis=1)
        if (distance < COINCIDENT).any():
            validate(structure, where)
        return within(found, distance < self.cutoff)

    def suffices(self, structure: Structure) -> bool:
        """Whether the last search still holds every pair: no atom has moved by more than half of the skin since."""
        last = self.searched
        if last is None or not self.skin or last.numbers.shape != structure.numbers.shape:
            return False
        unchanged = (np.array_equal(getattr(last, k), getattr(structure, k)) for k in ("numbers", "cell", "pbc"))
        moved = np.linalg.norm(structure.positions - last.positions, axis=1)
        return all(unchanged) and bool((moved <= self.skin / 2).all())

    def search(self, structure: Structure, where: str) -> None:
        """Find the pairs anew."""
        validate(structure, where)
        reach = self.cutoff + self.skin
        self.found = candidate_pairs(structure.positions, structure.cell, structure.pbc, reach)
        self.searched = structure
        self.n_searches += 1


def within(pairs: CandidatePairs, inside: np.ndarray) -> CandidatePairs:
    """Some of the pairs, (n_edges,) bool; a pair whose opposite is not chosen, by rounding, is left out."""
    kept = np.flatnonzero(inside & inside[pairs.reverse])
    renumbered = np.empty(len(inside), dtype=np.int64)
    renumbered[kept] = np.arange(len(kept))
    return CandidatePairs(
        pairs.source[kept], pairs.target[kept], pairs.shift[kept], renumbered[pairs.reverse[kept]]
    )
