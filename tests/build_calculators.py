"""Levels of theory for tests of building scans: EMT that fails, errs, remembers, can be held or dies."""

import hashlib
import os
from pathlib import Path
from typing import ClassVar

from ase.calculators.calculator import CalculationFailed
from ase.calculators.emt import EMT
from held import note


class Failing(EMT):
    """No answer where two atoms are closer than `shortest` (Å): an error, or, if `silent`, NaN for the forces."""

    def __init__(self, shortest: float, silent: bool = False):
        super().__init__()
        self.shortest, self.silent = shortest, silent

    def calculate(self, atoms, *arguments):
        distances = atoms.get_all_distances()
        fails = distances[distances > 0].min() < self.shortest
        if fails and not self.silent:
            raise CalculationFailed("SCF not converged\nin 50 steps")
        super().calculate(atoms, *arguments)
        if fails:
            self.results["forces"] = self.results["forces"] * float("nan")


class Mistaken(EMT):
    """Its mistake is no error of a calculation."""

    def calculate(self, *_):
        self.results["energy"] = {}["energies"]


class Remembering(EMT):
    """Its energy goes up by 1 eV with every calculation."""

    n_before = 0

    def calculate(self, atoms, *arguments):
        super().calculate(atoms, *arguments)
        self.results["energy"] += self.n_before
        self.n_before += 1


class Held(EMT):
    """Writes its process and what it sees to calls.log in the working directory, see `held`."""

    def calculate(self, atoms, *arguments):
        note(Path("calls.log"), f"{os.getpid()} {hashlib.sha256(atoms.positions.tobytes()).hexdigest()}")
        super().calculate(atoms, *arguments)


class Deadly(EMT):
    """Ends its process, as the system does when memory runs out."""

    def calculate(self, *_):
        os._exit(9)


class Stressed(EMT):
    """Its stress times `factor`: -1 for the other sign, nan for none."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def calculate(self, atoms, *arguments):
        super().calculate(atoms, *arguments)
        if "stress" in self.results:  # molecules have none
            self.results["stress"] = self.results["stress"] * float(self.factor)


class Stressless(EMT):
    """Energy and forces only."""

    implemented_properties: ClassVar = ["energy", "forces"]

    def calculate(self, atoms, *arguments):
        super().calculate(atoms, *arguments)
        self.results.pop("stress", None)
