"""The coordinate of a scan, a length in Å whatever its kind, so that smoothness is in 1/Å for all.

The kind stands at the head of the name of a group, "angle_C-C-O"; a name without one, "C-O", is a bond.

    bond, approach   the distance of two atoms
    atom             the same in a crystal, between atoms as written, not their images
    angle            the angle i-j-k times the mean length of its two arms: the arc that an end runs through
    torsion          the angle i-j-k-l, from 0 to 2 pi, times the mean distance of i and l from the axis j-k
    volume           the cube root of the volume an atom of a crystal: the edge of the cube that an atom fills
"""

from collections.abc import Sequence

import numpy as np

N_ATOMS = {"bond": 2, "approach": 2, "angle": 3, "torsion": 4, "atom": 2, "volume": 0}
"""Kind of scan -> atoms between which its coordinate is measured."""

PERIODIC = {"atom", "volume"}
"""Kinds of scan of crystals; the others are of molecules."""

STRESSED = {"volume"}
"""Kinds of scan along which stresses are compared, too."""


def kind_of(group: str) -> str:
    """The kind of scan that a group, such as "angle_C-C-O", holds."""
    kind, mark, _ = group.partition("_")
    return kind if mark and kind in N_ATOMS else "bond"


def coordinate(kind: str, positions: np.ndarray, atoms: Sequence[int], cell: np.ndarray | None = None) -> float:
    """Coordinate (Å) of a structure.

    positions: (n_atoms, 3), Å. atoms: the `N_ATOMS[kind]` it is measured between. cell: (3, 3), Å, for a volume.
    """
    if kind == "volume":
        return spacing(cell, len(positions))
    return angle_of(kind, positions, atoms) * lever(kind, positions, atoms)


def spacing(cell: np.ndarray, n_atoms: int) -> float:
    """Cube root of the volume an atom, Å. cell: (3, 3), Å."""
    return float(np.cbrt(abs(np.linalg.det(cell)) / n_atoms))


def angle_of(kind: str, positions: np.ndarray, atoms: Sequence[int]) -> float:
    """The angle or torsion angle in radians; 1 for a distance."""
    if kind == "angle":
        first, second = arms(positions, atoms)
        return float(np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second))
    if kind == "torsion":
        first, second, axis = across(positions, atoms)
        return float(np.arctan2(np.cross(first, second) @ axis, first @ second) % (2 * np.pi))
    return 1.0


def lever(kind: str, positions: np.ndarray, atoms: Sequence[int]) -> float:
    """Å by which the angle is multiplied; the distance itself for a distance."""
    if kind == "angle":
        return float(np.linalg.norm(arms(positions, atoms), axis=1).mean())
    if kind == "torsion":
        return float(np.linalg.norm(across(positions, atoms)[:2], axis=1).mean())
    return float(np.linalg.norm(np.subtract(*positions[list(atoms)])))


def arms(positions: np.ndarray, atoms: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (Å) from the vertex of an angle to its first and its last atom."""
    first, vertex, last = positions[list(atoms)]
    return first - vertex, last - vertex


def across(positions: np.ndarray, atoms: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors (Å) from the axis of a torsion to its first and its last atom, and the unit vector of the axis."""
    first, start, end, last = positions[list(atoms)]
    axis = (end - start) / np.linalg.norm(end - start)
    first, last = first - start, last - end
    return first - first @ axis * axis, last - last @ axis * axis, axis
