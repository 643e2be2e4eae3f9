"""Scans without files for the tests of scores: one written by hand, others random."""

import numpy as np

from mlip_design.bsct import Scan


def hand_scan() -> Scan:
    """Two atoms, six frames, equilibrium at frame 3; all force components but x are zero."""
    lengths = np.array([0.90, 1.00, 1.15, 1.20, 1.25, 1.40])
    along_x = np.array([12.0, 9.0, 3.0, 0.5, -1.5, -3.5])
    forces = np.zeros((6, 2, 3))
    forces[:, 0, 0], forces[:, 1, 0] = -along_x, along_x
    positions = np.zeros((6, 2, 3))
    positions[:, 1, 0] = lengths
    return Scan("C-N", "1", [6, 7], lengths, positions, [7.0, 4.0, 1.0, 0.0, 0.5, 2.0], forces, [0, 1])


def hand_forces() -> np.ndarray:
    """Model forces for `hand_scan`."""
    along_x = np.array([10.0, 8.0, 2.5, 1.5, -3.5, -4.5])
    forces = np.zeros((6, 2, 3))
    forces[:, 0, 0], forces[:, 1, 0] = -along_x, along_x
    return forces


def random_scan(rng: np.random.Generator, n_frames: int, n_atoms: int) -> Scan:
    """A scan without physics: every number random, lengths increasing."""
    return Scan(
        bond="C-C",
        system_id="random",
        numbers=rng.integers(1, 18, n_atoms),
        lengths=0.7 + np.cumsum(rng.uniform(0.02, 0.12, n_frames)),
        positions=rng.normal(size=(n_frames, n_atoms, 3)),
        energies=rng.normal(size=n_frames),
        forces=3 * rng.normal(size=(n_frames, n_atoms, 3)),
        bond_index=[0, 1],
    )


def random_prediction(rng: np.random.Generator, scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    return (
        scan.energies + rng.normal(size=scan.energies.shape),
        scan.forces + rng.normal(size=scan.forces.shape),
    )
