"""Relaxation of a molecule: does the model find the reference's minimum, and how far does it end above it?

Both relax the given structure by ASE's BFGS. The distance between the two minima is the root mean square difference
of all distances between two atoms, which knows no rotation; the height is that of the model's minimum above the
reference's own, by the reference.
"""

import numpy as np
from scipy.spatial.distance import pdist

from mlip_design.properties.case import Case
from mlip_design.properties.measured import Measured, Quantity, difference
from mlip_design.properties.view import seen_by
from mlip_design.structures import from_atoms


def relax(case: Case) -> Measured:
    """Steps, convergence, RMSD of distances (Å) and height (eV). Raises Failed if the reference does not relax."""
    reference, model = case.reference_minimum, case.model_end
    moved = pdist(model.atoms.positions) - pdist(reference.positions)
    there = seen_by(case.reference, from_atoms(model.atoms))
    height = there.get_potential_energy() - reference.get_potential_energy()
    notes = [] if model.converged else [f"the model does not relax: {model.shortfall}"]
    return Measured(
        [
            difference("steps", "", case.reference_end.steps, model.steps),
            difference("converged", "", 1, int(model.converged)),
            Quantity("RMSD of distances", "Å", None, None, float(np.sqrt(np.mean(moved**2)))),
            Quantity("height above minimum", "eV", None, None, float(height)),
        ],
        notes=notes,
        details={
            by: {"positions": end.atoms.positions.tolist(), "force": end.force}
            for by, end in (("reference", case.reference_end), ("model", model))
        },
    )
