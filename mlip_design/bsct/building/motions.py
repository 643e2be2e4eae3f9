"""What a structure can be moved along for a scan, and what stands for the rest."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols
from scipy.spatial.transform import Rotation

from mlip_design.bsct.building.bonds import radii_sum, stretch
from mlip_design.bsct.coordinates import angle_of, lever, spacing
from mlip_design.structures import Structure

STRUCTURE = "structure"
"""Stands for the group of what is left out when a whole structure is."""


class LeftOut(NamedTuple):
    """What is not scanned: group, such as "C-N", and reason."""

    group: str
    reason: str


@dataclass(frozen=True, eq=False)
class Motion:
    """A path of a structure along one coordinate, by which two rigid sides move, as much the one as the other.

    group: folder of its scan, such as "C-N". atoms: those that the coordinate is measured between. bond: the two, one
    of each side, between which it is cut. labels: side of every atom, (n_atoms,) int32, 0 or 1. ends: first and last
    coordinate, Å. axis: unit vector that the sides move along or turn about, (3,). start: before it is moved. at:
    coordinate (Å) -> structure. A volume has neither atoms nor sides: `bond` is (0, 0), all atoms are of side 0, the
    axis is x.
    """

    group: str
    atoms: tuple[int, ...]
    bond: tuple[int, int]
    labels: np.ndarray
    ends: tuple[float, float]
    axis: np.ndarray
    start: Structure
    at: Callable[[float], Structure]

    def system_id(self, index: int) -> str:
        """Identifier of its scan when the structure is number `index`, such as "0003_1-5"."""
        return "_".join([f"{index:04d}", *(["-".join(map(str, self.atoms))] if self.atoms else [])])


def shift(
    structure: Structure, group: str, bond: tuple[int, int], labels: np.ndarray, ends: tuple[float, float]
) -> Motion:
    """Two sides along the line between two atoms. ends: in sums of their covalent radii."""
    radii = radii_sum(structure.numbers, bond)
    axis = structure.positions[bond[1]] - structure.positions[bond[0]]
    return Motion(
        group=group,
        atoms=bond,
        bond=bond,
        labels=labels,
        ends=(ends[0] * radii, ends[1] * radii),
        axis=axis / np.linalg.norm(axis),
        start=structure,
        at=partial(stretched, structure, bond, labels),
    )


def stretched(structure: Structure, bond: tuple[int, int], labels: np.ndarray, length: float) -> Structure:
    """The structure with a bond at `length` (Å)."""
    return replace(structure, positions=stretch(structure.positions, bond, labels, length))


def turn(
    structure: Structure,
    kind: str,
    atoms: tuple[int, ...],
    bond: tuple[int, int],
    labels: np.ndarray,
    ends: tuple[float, float],
    axis: np.ndarray,
) -> Motion:
    """Two sides about an axis through the bond's first atom. axis: (3,), of any length. ends: degrees."""
    arm = lever(kind, structure.positions, atoms)
    unit = axis / np.linalg.norm(axis)
    start = angle_of(kind, structure.positions, atoms)
    first, last = np.radians(ends)
    return Motion(
        group=f"{kind}_{name_of(structure.numbers, atoms)}",
        atoms=atoms,
        bond=bond,
        labels=labels,
        ends=(float(arm * first), float(arm * last)),
        axis=unit,
        start=structure,
        at=lambda length: turned(structure, bond[0], labels, unit * (length / arm - start)),
    )


def turned(structure: Structure, centre: int, labels: np.ndarray, rotation: np.ndarray) -> Structure:
    """The structure with its sides turned against each other about one atom. rotation: vector of the angle, (3,)."""
    arms = structure.positions - structure.positions[centre]
    forwards, backwards = (Rotation.from_rotvec(half * rotation).apply(arms) for half in (0.5, -0.5))
    moved = np.where(labels[:, None], forwards, backwards)
    return replace(structure, positions=moved + structure.positions[centre])


def swell(structure: Structure, ends: tuple[float, float]) -> Motion:
    """The cell of a crystal scaled alike in all directions, the fractional positions stay. ends: in its volume."""
    start = spacing(structure.cell, len(structure.numbers))
    return Motion(
        group=f"volume_{'-'.join(sorted({chemical_symbols[number] for number in structure.numbers}))}",
        atoms=(),
        bond=(0, 0),
        labels=np.zeros(len(structure.numbers), dtype=np.int32),
        ends=(float(start * np.cbrt(ends[0])), float(start * np.cbrt(ends[1]))),
        axis=np.array([1.0, 0.0, 0.0]),
        start=structure,
        at=lambda length: scaled(structure, length / start),
    )


def scaled(structure: Structure, factor: float) -> Structure:
    """The structure with all its lengths times a factor."""
    return replace(structure, positions=factor * structure.positions, cell=factor * structure.cell)


def name_of(numbers: np.ndarray, atoms: tuple[int, ...]) -> str:
    """Elements in a row, from the end that comes first in the alphabet, such as "C-N" or "C-C-O"."""
    symbols = [chemical_symbols[numbers[atom]] for atom in atoms]
    return "-".join(min(symbols, symbols[::-1]))
