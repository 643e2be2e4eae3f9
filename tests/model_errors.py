"""Measures of how far a potential is from its physics, for the tests: each returns the largest error."""

import numpy as np
import pytest
from conftest import GENERIC, numerical_forces, numerical_stress, predict

from mlip_design.potential import Potential
from mlip_design.structures import Structure

DERIVATIVE = 1e-6  # eV/Å of forces, eV/Å^3 of stress
EXACT = 1e-10  # eV and eV/Å: differences by nothing but the order of sums
structures = pytest.mark.parametrize("structure", GENERIC)


def force_error(potential: Potential, structure: Structure) -> float:
    """eV/Å, against finite differences of the energy."""
    return np.abs(predict(potential, structure).forces.numpy() - numerical_forces(potential, structure)).max()


def stress_error(potential: Potential, structure: Structure) -> float:
    """eV/Å^3, against finite strains."""
    stress = predict(potential, structure, stress=True).stress[0].numpy()
    return np.abs(stress - numerical_stress(potential, structure)).max()
