"""Atoms bonded in a row, and what moves with the last of them."""

from collections.abc import Iterator

import numpy as np
from ase.data import covalent_radii

from mlip_design.bsct.building.bonds import find_bonds, pieces
from mlip_design.neighbors import candidate_pairs
from mlip_design.structures import Structure

BONDED = 1.3
"""Atoms closer than so many times the sum of their covalent radii are bonded."""


def bonds_of(structure: Structure) -> list[tuple[int, int]]:
    """Pairs i < j of bonded atoms, of images too."""
    if not structure.pbc.any():
        return find_bonds(structure.numbers, structure.positions, BONDED)
    radii = covalent_radii[structure.numbers]
    pairs = candidate_pairs(structure.positions, structure.cell, structure.pbc, 2 * BONDED * radii.max())
    source, target = pairs.source, pairs.target
    vectors = structure.positions[target] + pairs.shift @ structure.cell - structure.positions[source]
    bonded = np.linalg.norm(vectors, axis=1) < BONDED * (radii[source] + radii[target])
    return sorted({(int(i), int(j)) for i, j in zip(source[bonded], target[bonded], strict=True) if i < j})


def beyond(structure: Structure, pivot: int, atom: int) -> np.ndarray:
    """(n_atoms,) bool, what hangs on `atom` seen from `pivot`; the atom alone in a ring or a periodic structure."""
    n_atoms = len(structure.numbers)
    alone = np.arange(n_atoms) == atom
    if structure.pbc.any():
        return alone
    piece = pieces(n_atoms, [pair for pair in bonds_of(structure) if set(pair) != {pivot, atom}])
    return alone if piece[pivot] == piece[atom] else piece == piece[atom]


def chain(structure: Structure, length: int) -> tuple[int, ...] | None:
    """So many different atoms (2 to 4) bonded in a row, heavy ones where possible; None if there are none."""
    bonds = bonds_of(structure)
    neighbors = {atom: set() for atom in range(len(structure.numbers))}
    for i, j in bonds:
        neighbors[i].add(j)
        neighbors[j].add(i)

    def lightness(atoms: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        return sum(structure.numbers[atom] == 1 for atom in atoms), atoms

    return min(rows(neighbors, length), key=lightness, default=None)


def rows(neighbors: dict[int, set[int]], length: int) -> Iterator[tuple[int, ...]]:
    """Every row of so many different atoms, each bonded to the next."""
    found = [(atom,) for atom in neighbors]
    for _ in range(length - 1):
        found = [(*row, atom) for row in found for atom in sorted(neighbors[row[-1]] - set(row))]
    yield from found
