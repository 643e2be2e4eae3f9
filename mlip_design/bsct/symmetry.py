"""Two things that any model may break without a jump: forces that have an energy, and rotations.

Jacobian asymmetry ||J - J^T|| / (2 ||J||) with J = dF/dx: 0 for conservative forces, about 0.7 for a random J.
Rotational equivariance: the forces of a rotated structure, F(x R), should be the rotated forces, F(x) R.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from mlip_design.bsct.probe.result import NoPredictionError
from mlip_design.structures import Structure

if TYPE_CHECKING:
    from mlip_design.evaluator import Evaluator, Predictions

STEP = 1e-4
"""Å, of central differences."""
N_ROTATIONS = 8


@dataclass(frozen=True)
class Symmetry:
    """What a model breaks at one structure; in float64 about 1e-9 and below are rounding."""

    jacobian_asymmetry: float
    """Dimensionless; 0 where all forces are constant."""
    rotation_energy: float
    """eV, largest change of the energy over rotations."""
    rotation_forces: float
    """eV/Å, largest departure of a force component over rotations."""


def measure_symmetry(evaluator: "Evaluator", structure: Structure) -> Symmetry:
    """Both measures; 6 n_atoms + 9 evaluations. Raises NoPredictionError where the model has no answer."""
    energy, forces = rotation_errors(evaluator, structure)
    return Symmetry(asymmetry(force_jacobian(evaluator, structure)), energy, forces)


def asymmetry(jacobian: np.ndarray) -> float:
    """Of dF/dx, (n, n), eV/Å^2; dimensionless, 0 where all forces are constant."""
    size = np.linalg.norm(jacobian)
    return float(np.linalg.norm(jacobian - jacobian.T) / (2 * size)) if size else 0.0


def force_jacobian(evaluator: "Evaluator", structure: Structure) -> np.ndarray:
    """dF/dx, (3 n_atoms, 3 n_atoms), eV/Å^2, row by row for the displaced coordinate."""
    units = np.eye(structure.positions.size).reshape(-1, *structure.positions.shape)
    images = [
        replace(structure, positions=structure.positions + sign * STEP * unit)
        for sign in (1, -1)
        for unit in units
    ]
    forward, backward = np.split(np.array(predict(evaluator, images).forces), 2)
    return ((forward - backward) / (2 * STEP)).reshape(len(units), -1)


def rotation_errors(evaluator: "Evaluator", structure: Structure) -> tuple[float, float]:
    """Largest departures of energy (eV) and force components (eV/Å) over N_ROTATIONS fixed random rotations."""
    turns = Rotation.random(N_ROTATIONS, rng=0).as_matrix()
    turned = [
        replace(structure, positions=structure.positions @ turn, cell=structure.cell @ turn) for turn in turns
    ]
    predictions = predict(evaluator, [structure, *turned])
    energies, (still, *moved) = predictions.energies, predictions.forces
    departures = [np.abs(forces - still @ turn).max() for forces, turn in zip(moved, turns, strict=True)]
    return float(np.abs(energies[1:] - energies[0]).max()), float(max(departures))


def predict(evaluator: "Evaluator", structures: Sequence[Structure]) -> "Predictions":
    """Predictions of all structures, or NoPredictionError."""
    predictions = evaluator(structures)
    for reason in predictions.failures.values():
        raise NoPredictionError(f"{evaluator.name}: no prediction near the structure ({reason})")
    return predictions
