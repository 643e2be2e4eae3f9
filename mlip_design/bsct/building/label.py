"""Labels of one structure at the level of theory of a recipe, and its relaxation. Units: eV, Å, eV/Å, eV/Å^3."""

from typing import ClassVar, NamedTuple

import ase
import numpy as np
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.optimize import BFGS

from mlip_design.bsct.building.recipe import Recipe, evaluator_of
from mlip_design.callables import one_line
from mlip_design.evaluator import CalculatorEvaluator, Evaluator
from mlip_design.potential import UnknownElementError
from mlip_design.structures import Structure, from_atoms

RELAXED_FORCE, RELAXATION_STEPS = 0.01, 500
"""A structure is relaxed when no atom feels more than this many eV/Å; it must be so after this many steps at most."""


class Label(NamedTuple):
    """Of one structure: energy (eV), forces ((n_atoms, 3), eV/Å); both NaN with the reason where there are none.

    stress: (3, 3), eV/Å^3, if the kind of scan takes it and the label could be computed; otherwise None.
    """

    energy: float
    forces: np.ndarray
    failure: str
    stress: np.ndarray | None = None


def label(structure: Structure, recipe: Recipe) -> Label:
    """The label of a structure. It depends on nothing but the structure: a calculator is made for each."""
    evaluate = evaluator_of(recipe)
    if isinstance(evaluate, CalculatorEvaluator):
        evaluate = CalculatorEvaluator(evaluate.name, evaluate.arguments)
    stress, found = bool(recipe.takes_stress and structure.pbc.all()), {}
    try:
        predicted = evaluate([structure], stress)
        energy, forces = predicted.energies[0], predicted.forces[0]
        found = {"stress": predicted.stresses[0]} if stress else {}
        failure = predicted.failures.get(0, "")
    except UnknownElementError as error:
        energy, forces, failure = np.nan, structure.positions, one_line(error)
    if not (failure or all(np.isfinite(values).all() for values in (energy, forces, *found.values()))):
        failure = f"{'energy, forces or stress' if found else 'energy or forces'} are not finite"
    return Label(np.nan, np.full_like(forces, np.nan), failure) if failure else Label(energy, forces, "", **found)


def relax(structure: Structure, recipe: Recipe) -> tuple[Structure, str]:
    """The structure relaxed in its cell and "", or as it was and the reason why it cannot be relaxed."""
    atoms = ase.Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)
    atoms.calc = Predicted(evaluator_of(recipe))
    try:
        if BFGS(atoms, logfile=None).run(RELAXED_FORCE, RELAXATION_STEPS):
            return from_atoms(atoms), ""
        reason = f"forces not below {RELAXED_FORCE} eV/Å in {RELAXATION_STEPS} steps"
    except CalculationFailed as error:  # of `Predicted`, which says why
        reason = str(error)
    except Exception as error:  # of the optimizer on strange forces
        reason = one_line(error)
    return structure, f"relaxation: {reason}"


class Predicted(Calculator):
    """Energy and forces of an evaluator, for ASE's optimizers."""

    implemented_properties: ClassVar = ["energy", "forces"]

    def __init__(self, evaluate: Evaluator):
        super().__init__()
        self.evaluate = evaluate

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Raises CalculationFailed where there is no answer."""
        super().calculate(atoms, properties, system_changes)
        predicted = self.evaluate([from_atoms(self.atoms)])
        if predicted.failures:
            raise CalculationFailed(predicted.failures[0])
        self.results = {"energy": predicted.energies[0], "forces": predicted.forces[0]}
