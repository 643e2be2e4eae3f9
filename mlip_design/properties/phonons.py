"""Phonons of a crystal, by phonopy's finite displacements in a supercell.

Frequencies in cm^-1, imaginary ones negative, on a mesh without the origin and along ASE's path through the Brillouin
zone of the given cell; at the reference's relaxed crystal, where only the forces differ, and of each at its own. They
are compared in rising order at each wave vector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ase
import numpy as np
from ase.dft.kpoints import monkhorst_pack
from ase.units import _e, _hplanck, invcm

from mlip_design.evaluator import Evaluator
from mlip_design.properties.case import Case
from mlip_design.properties.frequencies import frequency_quantities
from mlip_design.properties.measured import Failed, Figure, Line, Measured
from mlip_design.properties.view import check
from mlip_design.structures import from_atoms

if TYPE_CHECKING:
    from phonopy import Phonopy

DISPLACEMENT = 0.01
"""Å."""
THICKNESS = 10.0
"""Å; a supercell is at least that thick in all three directions."""
MESH = (8, 8, 8)
N_PATH = 120
PER_THZ = 1e12 * _hplanck / _e / invcm
"""cm^-1 of 1 THz."""


def phonons(case: Case) -> Measured:
    """Frequencies in cm^-1. Raises Failed if the reference does not relax."""
    crystal = case.reference_minimum
    reference, there = (lattice(by, crystal) for by in (case.reference, case.model))
    own, notes = None, []
    try:
        own = lattice(case.model, case.model_minimum)
    except Failed as failure:
        notes.append(str(failure))
    mesh = monkhorst_pack(MESH)
    found = [None if one is None else at(one, mesh).ravel() for one in (reference, there, own)]
    return Measured(
        frequency_quantities(*found),
        [bands(crystal, reference, there if own is None else own)],
        notes,
        {"supercell": np.diag(reference.supercell_matrix).tolist()},
    )


def lattice(evaluate: Evaluator, atoms: ase.Atoms) -> Phonopy:
    """Force constants of a crystal."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(), cell=atoms.cell[:], scaled_positions=atoms.get_scaled_positions()
    )
    found = Phonopy(cell, supercell_matrix=np.diag(repeats(atoms)), primitive_matrix="P")
    found.generate_displacements(distance=DISPLACEMENT)
    frames = found.supercells_with_displacements
    displaced = [ase.Atoms(f.symbols, f.positions, cell=f.cell, pbc=True) for f in frames]
    predicted = evaluate([from_atoms(supercell) for supercell in displaced])
    check(predicted)
    found.forces = predicted.forces
    found.produce_force_constants(show_drift=False)
    found.symmetrize_force_constants(show_drift=False)
    return found


def repeats(atoms: ase.Atoms) -> np.ndarray:
    """How many cells of a crystal, (3,), make a supercell thick enough."""
    heights = 1 / np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    return np.ceil(THICKNESS / heights).astype(int)


def at(found: Phonopy, points: np.ndarray) -> np.ndarray:
    """Frequencies in rising order, (n_points, n_branches), cm^-1. points: (n_points, 3), of the reciprocal cell."""
    found.run_qpoints(points)
    return PER_THZ * np.array(found.qpoints.frequencies)


def bands(crystal: ase.Atoms, reference: Phonopy, model: Phonopy) -> Figure:
    """Both along the path of the reference's cell."""
    path = crystal.cell.bandpath(npoints=N_PATH)
    x, places, labels = path.get_linear_kpoint_axis()
    lines = [
        Line(by, x.tolist(), branch.tolist())
        for by, found in (("reference", reference), ("model", model))
        for branch in at(found, path.kpts).T
    ]
    ticks = [(float(place), label.replace("G", "Γ")) for place, label in zip(places, labels, strict=True)]
    return Figure("phonons", "wave vector", "frequency (cm⁻¹)", lines, ticks)
