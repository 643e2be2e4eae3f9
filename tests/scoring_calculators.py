"""Models for the tests of scoring: a Morse potential that fails, lies, takes its time or dies."""

import os
import time
from pathlib import Path
from subprocess import CalledProcessError

import numpy as np
from ase.calculators.calculator import CalculationFailed
from ase.calculators.morse import MorsePotential
from held import note


class Morse(MorsePotential):
    """For any element; conservative."""

    def __init__(self):
        super().__init__(epsilon=1.0, r0=1.4, rho0=3.0, rcut1=8.0, rcut2=9.0)


RAISED = {
    "raise": CalculationFailed("SCF not converged\nin 50 steps"),
    "process": CalledProcessError(1, "orca"),
    "mistake": KeyError("energies"),
}
PLANTED = {
    "nan": {"forces": np.nan},
    "huge": {"forces": 1e200},
    "flat": {"forces": np.zeros(7)},
    "energies": {"energy": np.zeros(2)},
}


class Failing(Morse):
    """No answer for molecules of `elements` ("S", "SP") beyond `longest` (Å): `how` is raised or planted."""

    def __init__(self, how: str, elements: str = "", longest: float = 0.0):
        super().__init__()
        self.how, self.elements, self.longest = how, elements, longest

    def calculate(self, atoms, *arguments):
        super().calculate(atoms, *arguments)
        if not set(self.elements) <= set(atoms.symbols) or atoms.get_all_distances().max() < self.longest:
            return
        if self.how in RAISED:
            raise RAISED[self.how]
        for name, values in PLANTED[self.how].items():
            self.results[name] = values + (0 if np.ndim(values) else self.results[name])


class Held(Morse):
    """Writes a line to `folder`/log for everything it computes, see `held`, then takes `seconds`."""

    def __init__(self, folder: str, seconds: float = 0.0):
        super().__init__()
        self.log, self.seconds = Path(folder) / "log", seconds

    def calculate(self, atoms, *arguments):
        note(self.log, f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS')}")
        time.sleep(self.seconds)
        super().calculate(atoms, *arguments)


class Deadly(Morse):
    """Ends its process, as the system does when memory runs out."""

    def calculate(self, *_):
        os._exit(9)
