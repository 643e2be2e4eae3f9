"""Training loss: energy an atom and force vectors, in units of the potential's scale.

loss = energy_weight * mean over structures of |dE| / n_atoms + forces_weight * mean over atoms of |dF|,
with |.| the Euclidean norm smoothed at 0: sqrt(x^2 + delta^2) - delta. Both errors are divided by the scale, so the
weights are dimensionless. Unlike squares, norms are not dominated by the few strongly compressed structures.
"""

import torch
from torch import Tensor, nn

from mlip_design.graph import AtomGraph
from mlip_design.potential import Prediction


class EnergyForcesLoss(nn.Module):
    """energy_weight, forces_weight: dimensionless. delta: where norms turn quadratic, in units of the scale.

    stress_weight: weight of |d(stress)| x 1 Å^3, for structures that have a stress label; 0 leaves stress out.
    """

    def __init__(self, energy_weight: float, forces_weight: float, stress_weight: float, delta: float):
        super().__init__()
        self.energy_weight = energy_weight
        self.forces_weight = forces_weight
        self.stress_weight = stress_weight
        self.delta = delta

    def forward(self, prediction: Prediction, graph: AtomGraph, scale: Tensor) -> Tensor:
        """Scalar loss, dimensionless. scale: eV and eV/Å."""
        energy_error = (prediction.energy - graph.energy) / graph.atoms_per_graph / scale
        force_error = (prediction.forces - graph.forces) / scale
        loss = self.energy_weight * self.smooth_norm(energy_error[:, None]).mean()
        loss = loss + self.forces_weight * self.smooth_norm(force_error).mean()
        if self.stress_weight and graph.stress is not None:
            labelled = ~graph.stress.isnan().flatten(1).any(1)
            stress_error = (prediction.stress[labelled] - graph.stress[labelled]).flatten(1) / scale
            if len(stress_error):
                loss = loss + self.stress_weight * self.smooth_norm(stress_error).mean()
        return loss

    def smooth_norm(self, error: Tensor) -> Tensor:
        """Norm over the last axis, quadratic below delta."""
        return torch.sqrt(error.square().sum(-1) + self.delta**2) - self.delta
