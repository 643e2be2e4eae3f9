"""An evaluator as ASE's tools want it: a calculator. Units: eV, eV/Å, eV/Å^3 (Voigt order and sign of ASE)."""

from typing import ClassVar

import ase
import numpy as np
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from mlip_design.evaluator import Evaluator, Predictions
from mlip_design.structures import Structure, from_atoms


class View(Calculator):
    """Energy, forces and, of crystals, the stress of an evaluator that has one.

    Raises StructureError for an impossible geometry and CalculationFailed where there is no finite answer.
    """

    implemented_properties: ClassVar = ["energy", "forces", "stress"]

    def __init__(self, evaluate: Evaluator):
        super().__init__()
        self.evaluate = evaluate
        if not evaluate.has_stress:
            self.implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Evaluate `atoms`."""
        super().calculate(atoms, properties, system_changes)
        stress = self.evaluate.has_stress and bool(self.atoms.pbc.all())
        predicted = self.evaluate([from_atoms(self.atoms)], stress)
        check(predicted)
        self.results = {"energy": float(predicted.energies[0]), "forces": predicted.forces[0]}
        if stress:
            self.results["stress"] = full_3x3_to_voigt_6_stress(predicted.stresses[0])


def check(predicted: Predictions) -> None:
    """Raise CalculationFailed if one of the structures has no finite answer."""
    for reason in predicted.failures.values():
        raise CalculationFailed(reason)
    stresses = [] if predicted.stresses is None else [predicted.stresses]
    if not all(np.isfinite(values).all() for values in (predicted.energies, *predicted.forces, *stresses)):
        raise CalculationFailed("energy, forces or stress are not finite")


def seen_by(evaluate: Evaluator, structure: Structure) -> ase.Atoms:
    """A structure as Atoms whose calculator is an evaluator."""
    return ase.Atoms(
        structure.numbers,
        structure.positions,
        cell=structure.cell,
        pbc=structure.pbc,
        calculator=View(evaluate),
    )
