"""Harmonic vibrations of a molecule, by ASE's finite differences.

Rigid translations and rotations are projected out of the mass-weighted Hessian, so that 3 n_atoms - 6 frequencies are
left (- 5 for a linear molecule), away from a minimum too. Imaginary frequencies are negative numbers. Frequencies are
compared in rising order: at the reference's minimum, where only the Hessian differs, and of each at its own minimum.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import ase
import numpy as np
from ase import units
from ase.vibrations import Vibrations

from mlip_design.evaluator import Evaluator
from mlip_design.properties.case import Case
from mlip_design.properties.frequencies import frequency_figure, frequency_quantities
from mlip_design.properties.measured import Failed, Measured
from mlip_design.properties.view import seen_by
from mlip_design.structures import from_atoms

DISPLACEMENT = 0.01
"""Å, to both sides, of each coordinate."""
PER_ROOT = units._hbar * 1e10 / np.sqrt(units._e * units._amu) / units.invcm
"""cm^-1 of the square root of 1 eV/(Å^2 amu)."""
RIGID = 1e-3
"""Of the largest; a rigid motion that moves atoms less is none, such as that about the axis of a linear molecule."""


def vibrations(case: Case) -> Measured:
    """Frequencies in cm^-1. Raises Failed if the reference does not relax."""
    minimum = case.reference_minimum
    reference, there = (frequencies(by, minimum) for by in (case.reference, case.model))
    own, notes = None, []
    try:
        own = frequencies(case.model, case.model_minimum)
    except Failed as failure:
        notes.append(str(failure))
    if own is not None and len(own) != len(reference):
        notes.append(f"the model's minimum has {len(own)} vibrations, the reference's {len(reference)}")
    return Measured(
        frequency_quantities(reference, there, own),
        [frequency_figure("vibrations", "number of the vibration", reference, there, own)],
        notes,
        {
            "reference": reference.tolist(),
            "model_at_reference": there.tolist(),
            "model": None if own is None else own.tolist(),
        },
    )


def frequencies(evaluate: Evaluator, atoms: ase.Atoms) -> np.ndarray:
    """Of all vibrations, in rising order, cm^-1, (n_vibrations,); imaginary ones are negative."""
    seen = seen_by(evaluate, from_atoms(atoms))
    with TemporaryDirectory() as folder:
        found = Vibrations(seen, name=str(Path(folder) / "displaced"), delta=DISPLACEMENT)
        found.run()
        hessian = found.get_vibrations().get_hessian_2d()
    roots = np.sqrt(np.repeat(seen.get_masses(), 3))
    inner = inner_motions(seen)
    squares = np.linalg.eigvalsh(inner.T @ (hessian / np.outer(roots, roots)) @ inner)
    return PER_ROOT * np.sign(squares) * np.sqrt(np.abs(squares))


def inner_motions(atoms: ase.Atoms) -> np.ndarray:
    """Mass-weighted motions of a molecule that neither shift nor turn it, orthonormal, (3 n_atoms, n_vibrations)."""
    roots = np.sqrt(atoms.get_masses())[:, None, None]
    arms = atoms.positions - atoms.get_center_of_mass()
    shifts = np.broadcast_to(np.eye(3), (len(atoms), 3, 3))
    turns = np.cross(np.eye(3)[None], arms[:, None, :])
    rigid = np.concatenate([roots * shifts, roots * turns], axis=1).transpose(0, 2, 1).reshape(-1, 6)
    left, sizes, _ = np.linalg.svd(rigid, full_matrices=True)
    return left[:, (sizes > RIGID * sizes[0]).sum() :]
