"""Equation of state of a crystal: volume, energy and bulk modulus, by Birch and Murnaghan (ASE's fit).

The given cell is scaled alike in all directions; its atoms relax at every volume. Reference and model are each fitted
around the volume at which their own energy is lowest.
"""

import ase
import numpy as np
from ase import units
from ase.eos import EquationOfState
from scipy.optimize import minimize_scalar

from mlip_design.evaluator import Evaluator
from mlip_design.properties.case import Case, Settings, settled
from mlip_design.properties.measured import Failed, Figure, Line, Measured, difference
from mlip_design.properties.view import seen_by
from mlip_design.structures import Structure

SEARCHED = (0.7, 1.4)
"""Of the given volume: where the lowest energy is looked for."""
FITTED, N_POINTS = (0.94, 1.06), 9
"""Of the volume at the lowest energy."""


def eos(case: Case) -> Measured:
    """Volume (Å^3/atom), energy (eV/atom), bulk modulus (GPa). Raises Failed if there is no lowest energy."""
    n_atoms = len(case.structure.numbers)
    found, lines = {}, []
    for by, evaluate in (("reference", case.reference), ("model", case.model)):
        volumes, energies = around_minimum(evaluate, case.structure, case.settings)
        offset = (
            energies.min() - 1.0
        )  # the fit takes steps in proportion to the energy: it may be neither 0 nor large
        fit = EquationOfState(volumes, energies - offset, eos="birchmurnaghan")
        volume, energy, modulus = fit.fit()
        energy += offset
        found[by] = (volume / n_atoms, energy / n_atoms, modulus / units.GPa)
        lines.append(Line(by, (volumes / n_atoms).tolist(), (1000 * (energies - energy) / n_atoms).tolist()))
    names = (("volume", "Å³/atom"), ("energy", "eV/atom"), ("bulk modulus", "GPa"))
    return Measured(
        [
            difference(name, unit, reference, model)
            for (name, unit), reference, model in zip(names, found["reference"], found["model"], strict=True)
        ],
        [Figure("equation of state", "volume (Å³/atom)", "energy above its lowest (meV/atom)", lines)],
    )


def around_minimum(evaluate: Evaluator, structure: Structure, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Volumes (Å^3) and energies (eV) of the cell around its lowest energy, (n_points,) each."""
    start = seen_by(evaluate, structure)

    def energy(factor: float) -> float:
        return settled(scaled(start, factor), settings).get_potential_energy()

    lowest = minimize_scalar(energy, bounds=SEARCHED, method="bounded", options={"xatol": 1e-4}).x
    if min(lowest - SEARCHED[0], SEARCHED[1] - lowest) < 1e-3:
        raise Failed(f"{evaluate.name}: no lowest energy between {SEARCHED[0]} and {SEARCHED[1]} of the volume")
    factors = lowest * np.linspace(*FITTED, N_POINTS)
    return factors * start.get_volume(), np.array([energy(factor) for factor in factors])


def scaled(atoms: ase.Atoms, factor: float) -> ase.Atoms:
    """A copy with the volume times a factor."""
    found = atoms.copy()
    found.calc = atoms.calc
    found.set_cell(np.cbrt(factor) * atoms.cell[:], scale_atoms=True)
    return found
