"""Structures that occur again: as they are, in another order or pose, or nearly so.

Fingerprints (see `fingerprint`) are rounded to find equal ones; those that rounding parted, and near ones, are found as
nearest neighbours in a tree, so that the cost hardly grows faster than the number of structures.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from mlip_design.data.survey.table import SurveyTable

ROUNDING = 1e-6
EQUAL = 1e-5
"""Distance of fingerprints below which structures are one; coordinates with 8 decimals agree to 1e-7."""
NEAR = 0.01
"""Distance of fingerprints of structures that differ by some thousandths of an Å an atom."""
ENERGY_SPREAD = 1e-3
"""eV; equal structures whose energies differ by more are suspicious."""


@dataclass(frozen=True)
class Duplicates:
    """Pairs (first, again) of indices; every structure that occurs again is `again` once."""

    exact: np.ndarray
    """(n_pairs, 2), the same numbers, positions and cell to the last digit."""
    moved: np.ndarray
    """(n_pairs, 2), the same but for order, rotation, translation or mirror image."""
    near: np.ndarray
    """(n_pairs, 2), the same but for some thousandths of an Å."""


def find_duplicates(table: SurveyTable) -> Duplicates:
    """All structures of a table that occur again."""
    everything = np.arange(len(table.sizes))
    exact, left = repeated(everything, table.content)
    rounded = np.column_stack([table.composition[left], np.round(table.fingerprints[left] / ROUNDING)])
    moved, left = repeated(left, rounded.astype(np.int64))
    pairs, distance = nearest(left, table)
    is_equal = distance < EQUAL
    return Duplicates(exact, np.concatenate([moved, pairs[is_equal]]), pairs[~is_equal])


def repeated(indices: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (first, again) of those of the indices (n,) whose keys (n, n_columns) are equal, and the first of each."""
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    original = first[inverse.ravel()]
    again = np.flatnonzero(original != np.arange(len(indices)))
    return np.column_stack([indices[original[again]], indices[again]]), indices[np.sort(first)]


def nearest(indices: np.ndarray, table: SurveyTable) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of structures of one composition closer than `NEAR`, each with its nearest earlier one, and distances."""
    apart = 10 * NEAR * table.composition[indices, None]
    points = np.hstack([table.fingerprints[indices], apart])
    distance, other = cKDTree(points).query(points, k=2, distance_upper_bound=NEAR)
    mine = np.arange(len(indices))
    is_first = other[:, 0] != mine  # the tree may name an equal point before the point itself
    other = np.where(is_first, other[:, 0], other[:, 1])
    distance = np.where(is_first, distance[:, 0], distance[:, 1])
    found = np.flatnonzero(np.isfinite(distance))
    found = found[np.argsort(distance[found], kind="stable")]
    pairs = np.sort(np.column_stack([mine[found], other[found]]), axis=1)
    _, once = np.unique(pairs[:, 1], return_index=True)
    return indices[pairs[once]], distance[found][once]


def differing_energies(duplicates: Duplicates, table: SurveyTable) -> np.ndarray:
    """(n_pairs, 2), equal structures whose energies differ, the largest difference first."""
    pairs = np.concatenate([duplicates.exact, duplicates.moved])
    difference = np.abs(np.diff(table.values["energy"][pairs], axis=1)).ravel()
    order = np.argsort(-difference)
    return pairs[order[difference[order] > ENERGY_SPREAD]]
