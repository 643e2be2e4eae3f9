"""One atom on a ray from a centre, and the distances at which something happens to it."""

from dataclasses import dataclass, replace

import numpy as np
from ase.geometry import find_mic

from mlip_design.neighbors import candidate_pairs
from mlip_design.structures import Structure

N_DIRECTIONS = 200
NEAREST, FARTHEST = 1.0, 8.0
"""Å, the part of a ray that should be clear of other atoms; in a larger molecule as far as that reaches."""
CRYSTAL_RANGE = (0.8, 1.3)
"""Times the distance that the atom has in the crystal."""


@dataclass(frozen=True, eq=False)
class Ray:
    """The atom `mover` at some distance from the atom `centre`; everything else stays."""

    structure: Structure
    centre: int
    mover: int
    direction: np.ndarray
    """(3,), of length 1."""
    length: float
    """Å, the distance in the structure as it is."""

    @classmethod
    def between(cls, structure: Structure, centre: int, mover: int) -> "Ray":
        """Through where the atom is, by the shortest way under periodic boundaries."""
        vector = structure.positions[mover] - structure.positions[centre]
        vector, length = find_mic(vector, structure.cell, structure.pbc)
        return cls(structure, centre, mover, vector / length, float(length))

    @classmethod
    def clear(cls, structure: Structure) -> "Ray":
        """One that meets no other atom, for a structure of two or more.

        In a molecule from the innermost atom, for the outermost one, where it keeps farthest from all others; in a
        crystal from the first atom to its nearest neighbour and on.
        """
        positions = structure.positions
        if structure.pbc.any():
            _, lengths = find_mic(positions[1:] - positions[0], structure.cell, structure.pbc)
            return cls.between(structure, 0, 1 + int(np.argmin(lengths)))
        outward = np.linalg.norm(positions - positions.mean(0), axis=1)
        centre, mover = int(np.argmin(outward)), int(np.argmax(outward))
        mover = mover if mover != centre else (centre + 1) % len(positions)
        others = np.delete(positions, [centre, mover], axis=0) - positions[centre]
        directions = sphere(N_DIRECTIONS)
        along = directions[:, None] * np.linspace(NEAREST, extent(structure, centre), 71)[:, None]
        clearance = np.linalg.norm(along[:, :, None] - others, axis=3).min(axis=(1, 2), initial=np.inf)
        length = np.linalg.norm(positions[mover] - positions[centre])
        return cls(structure, centre, mover, directions[np.argmax(clearance)], float(length))

    def at(self, distance: float) -> Structure:
        """The structure with the atom at a distance (Å)."""
        positions = self.structure.positions.copy()
        positions[self.mover] = positions[self.centre] + distance * self.direction
        return replace(self.structure, positions=positions)

    @property
    def crystal_range(self) -> tuple[float, float]:
        """Distances (Å) that leave room for the neighbours in a crystal."""
        low, high = CRYSTAL_RANGE
        return low * self.length, high * self.length

    def others(self, reach: float) -> np.ndarray:
        """(n_others, 3) Å, from the centre to atoms within reach that stay where they are; the centre's images too."""
        s = self.structure
        pairs = candidate_pairs(s.positions, s.cell, s.pbc, reach)
        stays = (pairs.source == self.centre) & (pairs.target != self.mover)
        return s.positions[pairs.target[stays]] + pairs.shift[stays] @ s.cell - s.positions[self.centre]

    def swaps(self) -> np.ndarray:
        """Distances (Å), ascending, at which another atom is as far from the centre."""
        return np.unique(np.linalg.norm(self.others(FARTHEST), axis=1))

    def crossings(self, cutoff: float) -> np.ndarray:
        """Distances (Å), ascending, at which the atom is `cutoff` away from any other."""
        reach = cutoff + extent(self.structure, self.centre)
        others = np.vstack([np.zeros(3), self.others(reach)])
        height = others @ self.direction
        half = cutoff**2 - (others**2).sum(axis=1) + height**2
        near, root = height[half >= 0], np.sqrt(half[half >= 0])
        return np.unique(np.concatenate([near - root, near + root]))


def extent(structure: Structure, centre: int) -> float:
    """Å, from a centre to the end of a molecule; FARTHEST at least, and in a crystal."""
    if structure.pbc.any():
        return FARTHEST
    return max(FARTHEST, float(np.linalg.norm(structure.positions - structure.positions[centre], axis=1).max()))


def sphere(count: int) -> np.ndarray:
    """(count, 3) directions spread evenly and without symmetry (Fibonacci's spiral)."""
    index = np.arange(count)
    height = 1 - (2 * index + 1) / count
    angle = np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - height**2)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), height])
