"""Candidate pairs within a cutoff, periodic or not, by the vesin neighbour-list library (NumPy, no gradients)."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import vesin
from ase.geometry import complete_cell

SHORT_RANGE = 1.0
"""Å, reach of the search for atoms that coincide; a much smaller one would need millions of cells."""

MAX_BOXES = 50_000
"""Boxes that the search may divide space into; vesin 0.6 divides by zero from about 100000 on."""

USUAL = 20
"""Extent of a molecule, in units of the cutoff, that needs no more boxes than this, cubed."""


class CandidatePairs(NamedTuple):
    """All directed pairs closer than a cutoff, sorted by source."""

    source: np.ndarray
    """(n_edges,) int64."""
    target: np.ndarray
    """(n_edges,) int64."""
    shift: np.ndarray
    """(n_edges, 3) int64, S of displacement = positions[j] + S @ cell - positions[i]."""
    reverse: np.ndarray
    """(n_edges,) int64, index of (j, i, -S)."""


def candidate_pairs(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> CandidatePairs:
    """Pairs of positions (n_atoms, 3) within `cutoff` (Å), images included where pbc (3,) says so; cell (3, 3), Å."""
    first, second, shift = (found.astype(np.int64) for found in search(positions, cell, pbc, cutoff, "ijS"))
    source, target = np.concatenate([first, second]), np.concatenate([second, first])
    shift = np.concatenate([shift, -shift])
    order = np.argsort(
        sorting_key(source, target, shift, len(positions)), kind="stable"
    )  # uses what order there is
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    reverse = place[
        order - len(first)
    ]  # a pair and its opposite stand half of the list apart, counted in a circle
    return CandidatePairs(source[order], target[order], shift[order], reverse)


def sorting_key(source: np.ndarray, target: np.ndarray, shift: np.ndarray, n_atoms: int) -> np.ndarray:
    """(n_edges,) int64 in the order of source, then target, then shift."""
    reach = int(np.abs(shift).max(initial=0))
    key = source * n_atoms + target
    for component in shift.T if reach else ():
        key = key * (2 * reach + 1) + component + reach
    return key


def closest_pair(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, limit: float
) -> tuple[int, int, float] | None:
    """(i, j, distance) of the closest two atoms or images if they are nearer than `limit` (Å, at most 1), else None."""
    source, target, distance = search(positions, cell, pbc, SHORT_RANGE, "ijd")
    nearest = int(np.argmin(distance)) if len(distance) else None
    if nearest is None or distance[nearest] >= limit:
        return None
    return int(source[nearest]), int(target[nearest]), float(distance[nearest])


def search(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float, quantities: str) -> list:
    """The named quantities of all pairs within the cutoff, each in one direction, unordered.

    Time, memory and, beyond MAX_BOXES, the very life of the process hang on the extent of what vesin is given: empty
    space is taken out before (one atom that flies off would suffice), and a wider search, then narrowed, has fewer
    boxes. Molecules of usual size need neither.
    """
    if not pbc.any() and len(positions) and np.ptp(positions, axis=0).max() <= USUAL * cutoff:
        return neighbor_list(cutoff).compute(positions, np.eye(3), [False] * 3, quantities=quantities)
    cell = complete_cell(cell) if pbc.any() else np.eye(3)
    inverse = np.linalg.inv(cell)
    spacing = 1 / np.linalg.norm(inverse, axis=0)  # of lattice planes, Å
    positions = without_gaps(positions, cell, inverse * spacing, pbc, 2 * cutoff)
    extent = np.where(pbc, spacing, np.ptp(positions @ inverse, axis=0) * spacing)
    reach = cutoff
    while np.prod(np.maximum(extent / reach, 1)) > MAX_BOXES:
        reach *= 1.5
    periodic = [bool(flag) for flag in pbc]
    *found, distance = neighbor_list(reach).compute(positions, cell, periodic, quantities=quantities + "d")
    return found if reach == cutoff else [values[distance < cutoff] for values in found]


def without_gaps(
    positions: np.ndarray, cell: np.ndarray, normals: np.ndarray, pbc: np.ndarray, widest: float
) -> np.ndarray:
    """Positions with empty space along directions that are not periodic cut down to `widest` (Å).

    normals: (3, 3), in columns, to the lattice planes. Distances below `widest` stay as they are.
    """
    for axis in np.flatnonzero(~np.asarray(pbc)):
        height = positions @ normals[:, axis]
        order = np.argsort(height)
        surplus = np.cumsum(np.maximum(np.diff(height[order]) - widest, 0.0))
        if len(surplus) and surplus[-1] > 0:
            cut = np.zeros_like(height)
            cut[order[1:]] = surplus / (cell[axis] @ normals[:, axis])
            positions = positions - cut[:, None] * cell[axis]
    return positions


@lru_cache(maxsize=8)
def neighbor_list(cutoff: float) -> vesin.NeighborList:
    """One reusable search object a cutoff."""
    return vesin.NeighborList(cutoff=cutoff, full_list=False, n_threads=1)
