"""Bonds of a molecule, the two sides of a bond, and moving them apart. Lengths in Å, indices count from 0."""

import numpy as np
from ase.data import covalent_radii
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist


def radii_sum(numbers: np.ndarray, pair: tuple[int, int]) -> float:
    """Sum of the covalent radii (Å) of two atoms. numbers: atomic numbers, (n_atoms,)."""
    return float(covalent_radii[[numbers[atom] for atom in pair]].sum())


def find_bonds(numbers: np.ndarray, positions: np.ndarray, factor: float) -> list[tuple[int, int]]:
    """Pairs i < j of atoms closer than `factor` times the sum of their covalent radii.

    numbers: (n_atoms,). positions: (n_atoms, 3), Å, not periodic.
    """
    first, second = np.triu_indices(len(numbers), 1)
    radii = covalent_radii[numbers]
    bonded = pdist(positions) < factor * (radii[first] + radii[second])
    return list(zip(first[bonded].tolist(), second[bonded].tolist(), strict=True))


def pieces(n_atoms: int, bonds: list[tuple[int, int]]) -> np.ndarray:
    """The number of its connected piece for every atom, (n_atoms,), counted from 0 at atom 0."""
    first, second = np.reshape(bonds, (-1, 2)).astype(int).T
    graph = coo_array((np.ones(len(bonds)), (first, second)), shape=(n_atoms, n_atoms))
    return connected_components(graph, directed=False)[1]


def sides(n_atoms: int, bonds: list[tuple[int, int]], bond: tuple[int, int]) -> np.ndarray | None:
    """0 on the side of the bond's first atom, 1 elsewhere, (n_atoms,) int32; None if the bond closes a ring."""
    piece = pieces(n_atoms, [pair for pair in bonds if set(pair) != set(bond)])
    if piece[bond[0]] == piece[bond[1]]:
        return None
    return (piece != piece[bond[0]]).astype(np.int32)


def stretch(positions: np.ndarray, bond: tuple[int, int], labels: np.ndarray, length: float) -> np.ndarray:
    """Positions with the bond at `length` (Å): both sides move rigidly along it, by equal amounts.

    positions: (n_atoms, 3), Å. labels: the side of every atom, (n_atoms,), 0 for that of the bond's first atom.
    """
    vector = positions[bond[1]] - positions[bond[0]]
    now = np.linalg.norm(vector)
    side = np.where(labels, 0.5, -0.5)[:, None]
    return positions + side * (length - now) * vector / now
