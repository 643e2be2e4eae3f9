"""Short paths along bonds of structures in a training batch: both fragments move rigidly, as in a bond scan."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mlip_design.bsct.building.bonds import find_bonds, sides, stretch
from mlip_design.graph import AtomGraph
from mlip_design.structures import Structure

BOND_FACTOR = 1.3
"""Atoms are bonded when closer than this times the sum of their covalent radii."""
SHORTEST = 0.5
"""Å; paths end before a bond gets shorter."""


class Path(NamedTuple):
    """Three frames of a structure, equally spaced along one of its bonds."""

    frames: list[Structure]
    """The three, unlabelled."""
    spread: float
    """Norm of all components of the structure's reference forces, eV/Å."""


def random_paths(graph: AtomGraph, rng: np.random.Generator, count: int, reach: float, step: float) -> list[Path]:
    """Up to `count` paths of different molecules of a labelled batch; fewer where there are no more open bonds.

    reach: Å, how far the middle of a path may be from the structure's own bond length. step: Å, between frames.
    Crystals, and bonds that close a ring, have no paths.
    """
    found = []
    for structure in molecules(graph, rng):
        if len(found) == count:
            break
        bonds = find_bonds(structure.numbers, structure.positions, BOND_FACTOR)
        for index in rng.permutation(len(bonds)):
            bond = bonds[index]
            labels = sides(len(structure.numbers), bonds, bond)
            if labels is not None:
                found.append(path_along(structure, bond, labels, rng.uniform(-reach, reach), step))
                break
    return found


def molecules(graph: AtomGraph, rng: np.random.Generator) -> Iterator[Structure]:
    """The labelled molecules of a graph, in random order."""
    ends = np.cumsum(graph.atoms_per_graph.cpu().numpy())
    numbers, positions, forces = (
        np.split(values.detach().cpu().numpy(), ends[:-1])
        for values in (graph.numbers, graph.positions.double(), graph.forces.double())
    )
    is_crystal = graph.cell.any(2).any(1).cpu().numpy()
    nowhere, never = np.zeros((3, 3)), np.zeros(3, dtype=bool)
    for index in rng.permutation(graph.n_graphs):
        if not is_crystal[index]:
            yield Structure(numbers[index], positions[index], nowhere, never, forces=forces[index])


def path_along(
    structure: Structure, bond: tuple[int, int], labels: np.ndarray, offset: float, step: float
) -> Path:
    """The path whose middle is `offset` (Å) from where the bond is. labels: as of `sides`."""
    length = np.linalg.norm(structure.positions[bond[1]] - structure.positions[bond[0]])
    middle = max(length + offset, SHORTEST + step)
    frames = [
        Structure(
            structure.numbers,
            stretch(structure.positions, bond, labels, middle + shift),
            structure.cell,
            structure.pbc,
        )
        for shift in (-step, 0.0, step)
    ]
    return Path(frames, float(np.linalg.norm(structure.forces)))
