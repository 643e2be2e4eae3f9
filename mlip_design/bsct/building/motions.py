"""The ways a structure can be moved for a scan, and why others are left out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from mlip_design.bsct.building.bonds import find_bonds, pieces, radii_sum, sides, stretch
from mlip_design.bsct.building.recipe import Recipe
from mlip_design.structures import Structure

STRUCTURE = "structure"
"""Stands for the group of what is left out when a whole structure is."""


class LeftOut(NamedTuple):
    """What is not scanned: group, such as "C-N", and reason."""

    group: str
    reason: str


@dataclass(frozen=True, eq=False)
class Motion:
    """A path of a structure along one coordinate.

    group: folder of its scan, such as "C-N". atoms: those that the coordinate is measured between. labels: side of
    every atom, (n_atoms,) int32, 0 or 1. ends: first and last coordinate, Å. axis: unit vector from side 0 to side 1,
    (3,). at: coordinate (Å) -> structure.
    """

    group: str
    atoms: tuple[int, ...]
    labels: np.ndarray
    ends: tuple[float, float]
    axis: np.ndarray
    at: Callable[[float], Structure]

    def system_id(self, index: int) -> str:
        """Identifier of its scan when the structure is number `index`, such as "0003_1-5"."""
        return f"{index:04d}_{'-'.join(map(str, self.atoms))}"


def find_motions(structure: Structure, recipe: Recipe) -> Iterator[Motion | LeftOut]:
    """All that a structure offers for the recipe's kind of scan."""
    return KINDS[recipe.kind](structure, recipe)


def molecule_bonds(structure: Structure, recipe: Recipe) -> list[tuple[int, int]]:
    """Bonds of a molecule, pairs i < j."""
    return find_bonds(structure.numbers, structure.positions, recipe.radii_factor)


def bond_motions(structure: Structure, recipe: Recipe) -> Iterator[Motion | LeftOut]:
    """Every bond that joins two otherwise separate sides, from and to multiples of the sum of the covalent radii."""
    numbers, bonds = structure.numbers, molecule_bonds(structure, recipe)
    n_pieces = pieces(len(numbers), bonds).max() + 1
    if structure.pbc.any() or n_pieces > 1:
        found = "periodic" if structure.pbc.any() else f"{n_pieces} molecules"
        yield LeftOut(STRUCTURE, f"{found}; bond scans take one molecule")
        return
    for bond in bonds:
        group = name_of(numbers, bond)
        labels = sides(len(numbers), bonds, bond)
        if not recipe.wants(group):
            yield LeftOut(group, f"not among the bonds asked for ({','.join(recipe.bonds)})")
        elif labels is None:
            yield LeftOut(group, "in a ring: it has no two sides")
        else:
            first, last = (factor * radii_sum(numbers, bond) for factor in recipe.range)
            axis = structure.positions[bond[1]] - structure.positions[bond[0]]
            yield Motion(
                group=group,
                atoms=bond,
                labels=labels,
                ends=(first, last),
                axis=axis / np.linalg.norm(axis),
                at=partial(stretched, structure, bond, labels),
            )


def stretched(structure: Structure, bond: tuple[int, int], labels: np.ndarray, length: float) -> Structure:
    """The structure with a bond at `length` (Å)."""
    return replace(structure, positions=stretch(structure.positions, bond, labels, length))


def name_of(numbers: np.ndarray, atoms: tuple[int, ...]) -> str:
    """Elements joined in alphabetical order, such as "C-N"."""
    return "-".join(sorted(chemical_symbols[numbers[atom]] for atom in atoms))


KINDS: dict[str, Callable[[Structure, Recipe], Iterator[Motion | LeftOut]]] = {"bond": bond_motions}
"""Kind of scan -> what a structure offers for it."""
