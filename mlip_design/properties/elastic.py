"""Elastic constants of a crystal from stress against strain, at its own relaxed cell; atoms relax at every strain.

C_ij = d(stress_i)/d(strain_j), central differences, Voigt order xx, yy, zz, yz, xz, xy with strains of the last three
counted twice, symmetrised. The axes are Cartesian: C11, C12 and C44 are those of a cubic crystal whose axes are x, y, z
(ASE's `bulk` has them so), and are given if the reference's matrix has that form. Bulk modulus: Voigt's average; shear
modulus: Hill's. The lowest eigenvalue is positive for a crystal that is stable against small strains (Born).
"""

import ase
import numpy as np
from ase import units
from ase.stress import voigt_6_to_full_3x3_strain

from mlip_design.properties.case import Case, Settings, settled
from mlip_design.properties.measured import Measured, difference

STRAIN = 0.002
CUBIC = 0.02
"""Of the largest constant: how much a matrix of cubic form may differ from its cubic average."""


def elastic(case: Case) -> Measured:
    """Elastic constants in GPa. Raises Failed if one of the two has no stress or does not relax."""
    reference, model = (
        elastic_constants(atoms, case.settings) / units.GPa
        for atoms in (case.reference_minimum, case.model_minimum)
    )
    names = [*(["C11", "C12", "C44"] if is_cubic(reference) else []), "bulk modulus", "shear modulus"]
    numbers = zip(names, *(values_of(constants)[-len(names) :] for constants in (reference, model)), strict=True)
    lowest = (np.linalg.eigvalsh(constants)[0] for constants in (reference, model))
    return Measured(
        [
            *(difference(name, "GPa", *pair) for name, *pair in numbers),
            difference("lowest eigenvalue", "GPa", *lowest),
        ],
        details={"reference": reference.tolist(), "model": model.tolist()},
    )


def elastic_constants(atoms: ase.Atoms, settings: Settings) -> np.ndarray:
    """Of relaxed atoms with a calculator, (6, 6), eV/Å^3."""
    columns = []
    for direction in np.eye(6):
        above, below = (strained_stress(atoms, sign * STRAIN * direction, settings) for sign in (1, -1))
        columns.append((above - below) / (2 * STRAIN))
    return (np.array(columns) + np.array(columns).T) / 2


def strained_stress(atoms: ase.Atoms, strain: np.ndarray, settings: Settings) -> np.ndarray:
    """Stress of a strained copy whose atoms have relaxed, (6,), eV/Å^3. strain: (6,), dimensionless."""
    found = atoms.copy()
    found.calc = atoms.calc
    found.set_cell(atoms.cell[:] @ voigt_6_to_full_3x3_strain(strain), scale_atoms=True)
    return settled(found, settings).get_stress()


def values_of(constants: np.ndarray) -> list[float]:
    """C11, C12, C44 as cubic averages, bulk modulus (Voigt), shear modulus (Hill). constants: (6, 6)."""
    c11, c12, c44 = cubic_averages(constants)
    compliances = np.linalg.inv(constants)
    s11, s12, s44 = cubic_averages(compliances)
    voigt, reuss = (c11 - c12 + 3 * c44) / 5, 5 / (4 * (s11 - s12) + 3 * s44)
    return [c11, c12, c44, (c11 + 2 * c12) / 3, (voigt + reuss) / 2]


def cubic_averages(matrix: np.ndarray) -> tuple[float, float, float]:
    """Means of the three blocks of a matrix, (6, 6), that are alike in a cubic crystal."""
    normal = matrix[:3, :3]
    return np.diag(normal).mean(), (normal.sum() - np.trace(normal)) / 6, np.diag(matrix)[3:].mean()


def is_cubic(constants: np.ndarray) -> bool:
    """Whether a matrix of elastic constants, (6, 6), has the form of a cubic crystal along x, y and z."""
    c11, c12, c44 = cubic_averages(constants)
    cubic = np.diag([c11 - c12] * 3 + [c44] * 3)
    cubic[:3, :3] += c12
    return bool(np.abs(constants - cubic).max() <= CUBIC * np.abs(constants).max())
