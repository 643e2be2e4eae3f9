"""How trajectories start: velocities after Maxwell and Boltzmann, without motion of the whole."""

from dataclasses import replace

import numpy as np
from ase.units import kB

from mlip_design.dynamics.systems import Systems


def warmed(systems: Systems, temperature: float, keys: list[tuple[int, ...]]) -> Systems:
    """Momenta drawn at a temperature (K), with neither linear nor, of molecules, angular momentum.

    keys: one a system, all that its draw depends on beside its masses.
    """
    drawn = normals(systems, keys) * np.sqrt(systems.masses * kB * temperature)
    parts = np.split(np.arange(len(drawn)), systems.starts[1:])
    for atoms, pbc in zip(parts, systems.pbc, strict=True):
        roots = np.sqrt(systems.masses[atoms])
        modes = rigid_motions(systems.positions[atoms], roots, pbc)
        relative = (drawn[atoms] / roots).ravel()
        drawn[atoms] = (relative - modes.T @ (modes @ relative)).reshape(-1, 3) * roots
    return replace(systems, momenta=drawn)


def normals(systems: Systems, keys: list[tuple[int, ...]]) -> np.ndarray:
    """(n_atoms, 3), normally distributed; those of a system depend on its key alone."""
    draws = [
        np.random.default_rng(key).standard_normal((n, 3)) for key, n in zip(keys, systems.sizes, strict=True)
    ]
    return np.concatenate(draws)


def rigid_motions(positions: np.ndarray, roots: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Orthonormal translations and, without periodicity, rotations, (n_motions, 3 n_atoms), mass-weighted.

    positions: (n_atoms, 3), Å. roots: (n_atoms, 1), of the masses. A linear molecule has five, one atom three.
    """
    translations = np.broadcast_to(np.eye(3)[:, None], (3, len(positions), 3))
    centred = positions - (roots**2 * positions).sum(axis=0) / (roots**2).sum()
    rotations = np.cross(np.eye(3)[:, None], centred[None])
    motions = translations if pbc.any() else np.concatenate([translations, rotations])
    _, sizes, modes = np.linalg.svd((motions * roots).reshape(len(motions), -1), full_matrices=False)
    return modes[sizes > 1e-6 * sizes[0]]


def degrees_of_freedom(systems: Systems, thermostat: bool) -> np.ndarray:
    """(n_systems,), at least 1: 3 n_atoms, less the rigid motions that do not change without a thermostat."""
    if thermostat:
        return 3 * systems.sizes
    parts = np.split(np.arange(len(systems.numbers)), systems.starts[1:])
    fixed = [
        len(rigid_motions(systems.positions[atoms], np.sqrt(systems.masses[atoms]), pbc))
        for atoms, pbc in zip(parts, systems.pbc, strict=True)
    ]
    return np.maximum(3 * systems.sizes - fixed, 1)
