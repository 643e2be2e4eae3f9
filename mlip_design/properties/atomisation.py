"""The atomisation curve of a molecule: all distances of the reference's minimum times one factor, until it is apart.

Frames that the reference binds count; the depth is the energy that it takes to part all atoms.
"""

from dataclasses import replace

import numpy as np

from mlip_design.properties.case import Case
from mlip_design.properties.curve import curve
from mlip_design.properties.measured import Measured
from mlip_design.structures import from_atoms

FACTORS = np.linspace(0.7, 4.0, 67)


def atomisation(case: Case) -> Measured:
    """RMSE and depth (eV). Raises Failed if the reference does not relax."""
    start = from_atoms(case.reference_minimum)
    frames = [replace(start, positions=factor * start.positions) for factor in FACTORS]
    return curve(case, "", "depth", "distances, of those at the minimum", FACTORS, frames, None)
