"""Rigid torsion profiles: every bond of a molecule with further bonds at both ends, outside of rings, turned once.

At the reference's minimum; the motions are those of `mlip_design.bsct.building`. Frames up to `BELOW` above the lowest
count: beyond, atoms of the two sides run into each other.
"""

import numpy as np

from mlip_design.bsct.building.kinds import find_motions
from mlip_design.bsct.building.motions import Motion
from mlip_design.bsct.building.recipe import EVERY, Recipe
from mlip_design.properties.case import Case
from mlip_design.properties.curve import curve, joined
from mlip_design.properties.measured import LeftOut, Measured
from mlip_design.structures import from_atoms

BELOW = 1.0
"""eV."""
ANGLES = np.linspace(5.0, 355.0, 36)
"""Degrees."""
RADII_FACTOR = 1.3
"""Atoms are bonded below this many sums of their covalent radii."""


def torsion(case: Case) -> Measured:
    """RMSE and barrier of every profile (eV). Raises LeftOut if nothing can be turned, Failed without a minimum."""
    recipe = Recipe("torsion", (ANGLES[0], ANGLES[-1]), len(ANGLES), RADII_FACTOR, (EVERY,), False, "", ())
    found = list(find_motions(from_atoms(case.reference_minimum), recipe))
    motions = [motion for motion in found if isinstance(motion, Motion)]
    if not motions:
        raise LeftOut("; ".join(sorted({left_out.reason for left_out in found})) or "no bond to turn about")
    return joined([profile(case, motion) for motion in motions])


def profile(case: Case, motion: Motion) -> Measured:
    """One torsion."""
    frames = [motion.at(coordinate) for coordinate in np.linspace(*motion.ends, len(ANGLES))]
    name = f"{motion.group.removeprefix('torsion_')} {'-'.join(map(str, motion.atoms))}"
    return curve(case, name, "barrier", "torsion angle (degrees)", ANGLES, frames, BELOW)
