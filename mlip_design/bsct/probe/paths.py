"""Paths through the space of structures: what a probe walks along.

bond, angle, torsion: one coordinate changes and the fragments on both sides stay rigid (in a ring or crystal one atom
moves alone). approach: two molecules, the second a turned copy if there is one only. swap and cutoff: one atom is
scanned through the distances at which it exchanges rank with other neighbours of a centre, and at which it crosses the
cutoff of other atoms. boundary: one atom crosses a face of the cell; a molecule is put into a box for that.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from ase.geometry import complete_cell
from scipy.spatial.transform import Rotation

from mlip_design.bsct.building.bonds import pieces, radii_sum
from mlip_design.bsct.probe.chains import beyond, bonds_of
from mlip_design.bsct.probe.rays import NEAREST, Ray
from mlip_design.structures import Structure

STEP = 0.02
"""Å, first step of a path."""
SCAN_STEP = 0.01
"""Å, where an atom is scanned through unknown events."""
TURN_STEP = 1.0
"""°."""
BOND_RANGE = (0.5, 2.0)
"""Times the sum of the covalent radii, as in BSCT."""
ANGLE_RANGE, CRYSTAL_RANGE = 50.0, 20.0
"""° to both sides; in a crystal there is less room."""
APPROACH_RANGE = (1.0, 9.0)
"""Å between the molecules."""
CUTOFF_RANGE = (2.0, 8.0)
"""Å from the centre; farther where places are."""
BEYOND = 0.3
"""Å, before the first and after the last place."""
CROSSING = 0.4
"""Å to both sides of a face."""
PADDING = 3.0
"""Å around a molecule in its box, so little that it feels its images."""

TURN, BESIDE = np.array([0.7, -0.4, 1.1]), np.array([5.3, 2.9, 8.0])
"""Rotation vector and displacement (Å) of a copy: no symmetry is left."""
CONCENTRIC = 1e-3
"""Å; molecules whose middles are closer move apart along `BESIDE`."""


@dataclass(frozen=True)
class Path:
    """Structures along one coordinate."""

    name: str
    """With the atoms that it moves."""
    unit: str
    """Of the coordinate: Å or °."""
    start: float
    stop: float
    structure: Callable[[float], Structure]
    """The structure at a coordinate."""
    first_step: float
    places: tuple[float, ...] = ()
    """Coordinates where something is known to happen."""


def bond_path(structure: Structure, i: int, j: int) -> Path:
    """The distance of atoms i and j, in Å, from 0.5 to 2 times the sum of their radii (less in a crystal)."""
    ray, moving = Ray.between(structure, i, j), beyond(structure, i, j)
    low, high = np.array(BOND_RANGE) * radii_sum(structure.numbers, (i, j))
    low, high = ray.crystal_range if structure.pbc.any() else (low, high)

    def at(distance: float) -> Structure:
        return shifted(structure, moving, (distance - ray.length) * ray.direction)

    return Path(f"bond {i}-{j}", "Å", float(low), float(high), at, STEP)


def angle_path(structure: Structure, i: int, j: int, k: int) -> Path:
    """The angle at atom j between i and k, in °, to both sides of what it is; what hangs on k turns."""
    one, other = (Ray.between(structure, j, end).direction for end in (i, k))
    normal = np.cross(one, other)
    if np.linalg.norm(normal) < 1e-3:
        normal = np.cross(one, np.eye(3)[np.argmin(np.abs(one))])
    angle = np.degrees(np.arccos(np.clip(one @ other, -1, 1)))
    moving = beyond(structure, j, k)

    def at(degrees: float) -> Structure:
        return turned(structure, moving, structure.positions[j], normal, degrees - angle)

    width = CRYSTAL_RANGE if structure.pbc.any() else ANGLE_RANGE
    return Path(f"angle {i}-{j}-{k}", "°", float(angle - width), float(angle + width), at, TURN_STEP)


def torsion_path(structure: Structure, i: int, j: int, k: int, last: int) -> Path:
    """The angle between the planes i-j-k and j-k-last, in °, once around (less in a crystal).

    What hangs on k turns, in a ring `last` alone.
    """
    axis = Ray.between(structure, j, k).direction
    one = np.cross(Ray.between(structure, j, i).direction, axis)
    other = np.cross(Ray.between(structure, k, last).direction, axis)
    angle = np.degrees(np.arctan2(np.cross(one, other) @ axis, one @ other))
    moving = beyond(structure, j, k)
    moving = moving if moving[last] else beyond(structure, k, last)

    def at(degrees: float) -> Structure:
        return turned(structure, moving, structure.positions[k], axis, degrees - angle)

    low, high = (angle - CRYSTAL_RANGE, angle + CRYSTAL_RANGE) if structure.pbc.any() else (-180.0, 180.0)
    return Path(f"torsion {i}-{j}-{k}-{last}", "°", float(low), float(high), at, TURN_STEP)


def approach_path(structure: Structure) -> Path:
    """The gap between two molecules along a line, in Å; of one molecule, to a turned copy of itself."""
    piece = pieces(len(structure.numbers), bonds_of(structure))
    both = structure if piece.max() else with_copy(structure)
    moving = piece == piece.max() if piece.max() else np.repeat([False, True], len(piece))
    between = both.positions[moving].mean(0) - both.positions[~moving].mean(0)
    direction = between if np.linalg.norm(between) > CONCENTRIC else BESIDE
    direction = direction / np.linalg.norm(direction)
    heights = both.positions @ direction
    gap = heights[moving].min() - heights[~moving].max()

    def at(distance: float) -> Structure:
        return shifted(both, moving, (distance - gap) * direction)

    return Path("approach", "Å", *APPROACH_RANGE, at, STEP)


def swap_path(structure: Structure) -> Path:
    """The distance of one atom from a centre, in Å, through those of the centre's other neighbours."""
    ray = Ray.clear(structure)
    places = ray.swaps()
    low, high = ray.crystal_range if structure.pbc.any() else (places.min() - BEYOND, places.max() + BEYOND)
    places = places[(places > low) & (places < high)]
    return Path(f"swap {ray.centre}-{ray.mover}", "Å", float(low), float(high), ray.at, STEP, tuple(places))


def cutoff_path(structure: Structure, cutoff: float | None) -> Path:
    """The distance of one atom from a centre, in Å, through the cutoff of other atoms; None: unknown (fine steps).

    In a crystal it leads only as far as there is room.
    """
    ray = Ray.clear(structure)
    places = np.empty(0) if cutoff is None else ray.crossings(cutoff)
    low, high = ray.crystal_range if structure.pbc.any() else cutoff_range(places)
    places = places[(places > low) & (places < high)]
    step = SCAN_STEP if cutoff is None else STEP
    return Path(f"cutoff {ray.centre}-{ray.mover}", "Å", float(low), float(high), ray.at, step, tuple(places))


def cutoff_range(places: np.ndarray) -> tuple[float, float]:
    """CUTOFF_RANGE, or from before the first to behind the last of places (n_places,), Å, all from NEAREST on."""
    places = places[places > NEAREST]
    low, high = CUTOFF_RANGE
    first, last = places.min(initial=np.inf) - BEYOND, places.max(initial=0.0) + BEYOND
    return max(NEAREST, min(low, first)), max(high, last)


def boundary_path(structure: Structure) -> Path:
    """The height of one atom above a face of the cell, in Å, from below to above; atoms outside are wrapped."""
    boxed = structure if structure.pbc.any() else in_a_box(structure)
    axis = int(np.flatnonzero(boxed.pbc)[0])
    mover = int(np.argmax(np.ptp(np.linalg.norm(boxed.positions[:, None] - boxed.positions, axis=2), axis=1)))
    inverse = np.linalg.inv(complete_cell(boxed.cell))
    normal = inverse[:, axis] / np.linalg.norm(inverse[:, axis])
    centred = boxed.positions - (boxed.positions[mover] @ inverse[:, axis]) * boxed.cell[axis]

    def at(height: float) -> Structure:
        positions = centred.copy()
        positions[mover] += height * normal
        outside = np.floor(positions @ inverse) * boxed.pbc
        return replace(boxed, positions=positions - outside @ boxed.cell)

    return Path(f"boundary {mover}", "Å", -CROSSING, CROSSING, at, STEP, (0.0,))


def with_copy(structure: Structure) -> Structure:
    """A molecule and a turned copy beside it."""
    positions = structure.positions - structure.positions.mean(0)
    copy = Rotation.from_rotvec(TURN).apply(positions) + BESIDE
    return replace(structure, numbers=np.tile(structure.numbers, 2), positions=np.vstack([positions, copy]))


def in_a_box(structure: Structure) -> Structure:
    """A molecule in a periodic box around it."""
    low, high = structure.positions.min(0), structure.positions.max(0)
    cell = np.diag(high - low + 2 * PADDING)
    return replace(structure, positions=structure.positions - low + PADDING, cell=cell, pbc=np.ones(3, dtype=bool))


def shifted(structure: Structure, moving: np.ndarray, by: np.ndarray) -> Structure:
    """Some of the atoms, (n_atoms,) bool, moved by (3,) Å."""
    return replace(structure, positions=structure.positions + moving[:, None] * by)


def turned(
    structure: Structure, moving: np.ndarray, pivot: np.ndarray, axis: np.ndarray, degrees: float
) -> Structure:
    """Some of the atoms, (n_atoms,) bool, turned about an axis through a point (3,)."""
    turn = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis))
    positions = structure.positions.copy()
    positions[moving] = turn.apply(positions[moving] - pivot) + pivot
    return replace(structure, positions=positions)
