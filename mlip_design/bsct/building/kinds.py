"""The kinds of scan: what a structure offers for each. Bonds go by covalent radii, see `bonds`."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import NamedTuple

import ase
import numpy as np
from ase.neighborlist import natural_cutoffs, neighbor_list
from scipy.spatial.distance import cdist

from mlip_design.bsct.building.bonds import find_bonds, pieces, sides
from mlip_design.bsct.building.motions import STRUCTURE, LeftOut, Motion, name_of, shift, swell, turn
from mlip_design.bsct.building.recipe import Recipe
from mlip_design.bsct.coordinates import across, arms
from mlip_design.structures import Structure

Found = Iterator[Motion | LeftOut]
STRAIGHT = 0.05
"""Å; a lever shorter than this has no direction to turn in."""


class Kind(NamedTuple):
    """A kind of scan."""

    takes: str
    """What it can be made of, as `content` says it."""
    find: Callable[[Structure, Recipe], Found]
    range: tuple[float, float]
    """The usual one."""
    unit: str
    """Of the range."""
    below: float
    """What the range must stay below."""


class Molecule:
    """The bonds of a molecule, and the choice among them."""

    def __init__(self, structure: Structure, recipe: Recipe):
        self.numbers, self.positions = structure.numbers, structure.positions
        self.bonds = find_bonds(self.numbers, self.positions, recipe.radii_factor)
        self.neighbors = defaultdict(list)
        for i, j in self.bonds:
            self.neighbors[i].append(j)
            self.neighbors[j].append(i)
        self.recipe = recipe

    def wants(self, *atoms: int) -> bool:
        """Whether all bonds along a chain of atoms are asked for."""
        return all(self.recipe.wants(name_of(self.numbers, pair)) for pair in pairwise(atoms))

    def sides(self, bond: tuple[int, int]) -> np.ndarray | None:
        """See `bonds.sides`."""
        return sides(len(self.numbers), self.bonds, bond)

    def end(self, atom: int, beside: int) -> list[int]:
        """The heaviest atom that is bonded to one, beside another, by a bond asked for; none if there is none."""
        others = [other for other in self.neighbors[atom] if other != beside and self.wants(other, atom)]
        return sorted(others, key=lambda other: (-self.numbers[other], other))[:1]


def find_motions(structure: Structure, recipe: Recipe) -> Found:
    """All that a structure offers for the recipe's kind of scan."""
    kind, molecule = KINDS[recipe.kind], Molecule(structure, recipe)
    if (found := content(structure, molecule)) == kind.takes:
        yield from kind.find(structure, molecule)
    else:
        yield LeftOut(STRUCTURE, f"{found}; {recipe.kind} scans take {kind.takes}")


def content(structure: Structure, molecule: Molecule) -> str:
    """What a structure holds, such as "one molecule"."""
    if structure.pbc.any():
        return "a crystal" if structure.pbc.all() else "a partly periodic structure"
    n_pieces = pieces(len(structure.numbers), molecule.bonds).max() + 1
    return {1: "one molecule", 2: "two molecules"}.get(n_pieces, f"{n_pieces} molecules")


def bond_motions(structure: Structure, molecule: Molecule) -> Found:
    """Every bond that joins two otherwise separate sides."""
    for bond in molecule.bonds:
        group = name_of(structure.numbers, bond)
        if not molecule.wants(*bond):
            yield LeftOut(group, not_asked_for(molecule))
        elif (labels := molecule.sides(bond)) is None:
            yield LeftOut(group, "in a ring: it has no two sides")
        else:
            yield shift(structure, group, bond, labels, molecule.recipe.range)


def angle_motions(structure: Structure, molecule: Molecule) -> Found:
    """Every angle with an arm that can be cut off at the vertex."""
    for vertex, neighbors in sorted(molecule.neighbors.items()):
        for pair in combinations(sorted(neighbors), 2):
            atoms = (pair[0], vertex, pair[1])
            group = f"angle_{name_of(structure.numbers, atoms)}"
            whole = {end: molecule.sides((vertex, end)) for end in pair}
            free = [end for end in reversed(pair) if whole[end] is not None]
            if not molecule.wants(*atoms):
                yield LeftOut(group, not_asked_for(molecule))
            elif not free:
                yield LeftOut(group, "both arms in a ring: they cannot move apart")
            else:
                atoms = atoms if free[0] == pair[1] else atoms[::-1]
                axis = np.cross(*arms(structure.positions, atoms))
                if np.linalg.norm(axis) < STRAIGHT:
                    yield LeftOut(group, "straight: it has no plane")
                else:
                    bond = (vertex, free[0])
                    yield turn(structure, "angle", atoms, bond, whole[free[0]], molecule.recipe.range, axis)


def torsion_motions(structure: Structure, molecule: Molecule) -> Found:
    """Every bond with further bonds at both ends, turned once; the heaviest atoms at the ends give the angle."""
    for bond in molecule.bonds:
        first, last = molecule.end(bond[0], bond[1]), molecule.end(bond[1], bond[0])
        if not (molecule.wants(*bond) and first and last):
            continue
        atoms = (*first, *bond, *last)
        group = f"torsion_{name_of(structure.numbers, atoms)}"
        labels = molecule.sides(bond)
        levers = np.linalg.norm(across(structure.positions, atoms)[:2], axis=1)
        if labels is None:
            yield LeftOut(group, "in a ring: it has no two sides")
        elif levers.min() < STRAIGHT:
            yield LeftOut(group, "straight: it has no torsion angle")
        else:
            axis = structure.positions[bond[1]] - structure.positions[bond[0]]
            yield turn(structure, "torsion", atoms, bond, labels, molecule.recipe.range, axis)


def approach_motions(structure: Structure, molecule: Molecule) -> Found:
    """Two molecules along the line between their closest atoms."""
    labels = pieces(len(structure.numbers), molecule.bonds).astype(np.int32)
    members = [np.flatnonzero(labels == side) for side in (0, 1)]
    distances = cdist(*(structure.positions[atoms] for atoms in members))
    closest = np.unravel_index(distances.argmin(), distances.shape)
    pair = tuple(int(atoms[place]) for atoms, place in zip(members, closest, strict=True))
    yield shift(structure, f"approach_{name_of(structure.numbers, pair)}", pair, labels, molecule.recipe.range)


def atom_motions(structure: Structure, molecule: Molecule) -> Found:
    """For every pair of elements that are bonded, the closest two atoms: one of them towards the other."""
    atoms = ase.Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=True)
    cutoffs = natural_cutoffs(atoms, mult=molecule.recipe.radii_factor)
    found, seen = neighbor_list("dijS", atoms, cutoffs, self_interaction=False), set()
    for _, first, second, image in sorted(zip(*(values.tolist() for values in found), strict=True)):
        pair = (first, second)
        group = f"atom_{name_of(structure.numbers, pair)}"
        if group in seen:
            continue
        seen.add(group)
        if not molecule.wants(*pair):
            yield LeftOut(group, not_asked_for(molecule))
        elif first == second:
            yield LeftOut(group, "an atom and its own image: take more cells")
        else:
            positions = structure.positions.copy()
            positions[second] += image @ structure.cell
            labels = (np.arange(len(positions)) != first).astype(np.int32)
            start = replace(structure, positions=positions)
            yield shift(start, group, pair, labels, molecule.recipe.range)


def volume_motions(structure: Structure, molecule: Molecule) -> Found:
    """The cell, scaled alike in all directions."""
    yield swell(structure, molecule.recipe.range)


def not_asked_for(molecule: Molecule) -> str:
    return f"not among the bonds asked for ({','.join(molecule.recipe.bonds)})"


def usual_range(kind: str, given: Sequence[float] | None) -> tuple[float, float]:
    """First and last coordinate in the unit of a kind, as given or as usual. Raises ValueError where there are none."""
    first, last = given or KINDS[kind].range
    below = KINDS[kind].below
    if not 0 < first < last < below:
        limit = f" < {below:g}" if np.isfinite(below) else ""
        raise ValueError(f"--range: {first:g} {last:g}, expected 0 < first < last{limit} ({KINDS[kind].unit})")
    return first, last


KINDS = {
    "bond": Kind("one molecule", bond_motions, (0.5, 2.0), "sums of the covalent radii", np.inf),
    "angle": Kind("one molecule", angle_motions, (60.0, 170.0), "degrees", 180.0),
    "torsion": Kind("one molecule", torsion_motions, (2.0, 358.0), "degrees", 360.0),
    "approach": Kind("two molecules", approach_motions, (1.0, 4.0), "sums of the covalent radii", np.inf),
    "atom": Kind("a crystal", atom_motions, (0.6, 1.2), "sums of the covalent radii", np.inf),
    "volume": Kind("a crystal", volume_motions, (0.8, 1.3), "volumes of the start structure", np.inf),
}
