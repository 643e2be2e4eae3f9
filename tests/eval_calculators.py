"""Calculators with errors that are known, for the tests of evaluations."""

import numpy as np
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

ELEMENT_ENERGIES = {1: 0.3, 6: -1.1, 8: 2.0, 29: 0.7}
"""eV an atom."""


class Planted(Calculator):
    """Energies of the elements beside a quadratic function of positions; stress a tenth of the cell.

    fail: element whose structures fail. nan: element whose structures have a NaN force. stop: calls before Ctrl-C.
    """

    implemented_properties = ("energy", "forces", "stress")
    n_calls = 0

    def __init__(self, fail: int = 0, nan: int = 0, stop: int = -1):
        super().__init__()
        self.fail, self.nan, self.stop = fail, nan, stop

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Also counts calls."""
        super().calculate(atoms, properties, system_changes)
        if Planted.n_calls == self.stop:
            raise KeyboardInterrupt
        Planted.n_calls += 1
        if self.fail in atoms.numbers:
            raise CalculationFailed("no convergence")
        forces = 0.5 * atoms.positions
        if self.nan in atoms.numbers:
            forces[0, 0] = np.nan
        energy = sum(ELEMENT_ENERGIES[number] for number in atoms.numbers) - 0.25 * float(
            (atoms.positions**2).sum()
        )
        self.results = {
            "energy": energy,
            "forces": forces,
            "stress": 0.1 * np.diag(atoms.cell[:])[[0, 1, 2, 0, 1, 2]],
        }


def stopping_once(path: str) -> Planted:
    """One that is stopped after 25 calls where there is no such file yet, which it makes."""
    from pathlib import Path

    is_first = not Path(path).exists()
    Path(path).touch()
    return Planted(stop=Planted.n_calls + 25 if is_first else -1)
