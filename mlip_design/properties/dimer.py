"""Curves of two atoms, for every pair of elements that is bonded in a molecule: hard wall, minimum, dissociation.

From `RANGE[0]` to `RANGE[1]` sums of the covalent radii. The two atoms alone are far from what potentials are trained
on: holes and steps show here. Frames that the reference binds count.
"""

import numpy as np
from ase.data import atomic_numbers

from mlip_design.bsct.building.bonds import find_bonds, radii_sum
from mlip_design.bsct.building.motions import name_of
from mlip_design.properties.case import Case
from mlip_design.properties.curve import curve, joined
from mlip_design.properties.measured import LeftOut, Measured
from mlip_design.properties.torsion import RADII_FACTOR
from mlip_design.structures import Structure

RANGE, N_FRAMES = (0.6, 4.0), 69


def dimer(case: Case) -> Measured:
    """RMSE and depth of every curve (eV). Raises LeftOut if no two atoms are bonded."""
    numbers = case.structure.numbers
    bonds = find_bonds(numbers, case.structure.positions, RADII_FACTOR)
    pairs = sorted({name_of(numbers, bond) for bond in bonds})
    if not pairs:
        raise LeftOut("no two atoms are bonded")
    return joined([of_pair(case, pair) for pair in pairs])


def of_pair(case: Case, pair: str) -> Measured:
    """One pair of elements, such as "C-O"."""
    numbers = np.array([atomic_numbers[symbol] for symbol in pair.split("-")])
    lengths = np.linspace(*RANGE, N_FRAMES) * radii_sum(numbers, (0, 1))
    frames = [
        Structure(
            numbers, np.array([[0.0, 0.0, 0.0], [0.0, 0.0, length]]), np.zeros((3, 3)), np.zeros(3, dtype=bool)
        )
        for length in lengths
    ]
    return curve(case, pair, "depth", "distance (Å)", lengths, frames, None)
