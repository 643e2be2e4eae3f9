"""Training loss: energy an atom and force vectors, in units of the potential's scale.

loss = energy_weight * mean over structures of |dE| / n_atoms
     + forces_weight * mean over atoms of |dF| / (1 + |F| / saturation)

with F the reference force, dE and dF errors divided by the scale (so the weights are dimensionless) and |.| the
Euclidean norm smoothed at 0: sqrt(x^2 + delta^2) - delta. Unlike squares, norms are not dominated by the few atoms of
strongly compressed bonds, and the saturation makes an error there count in proportion to the force, as smoothness
measured on logarithms does.
"""

import torch
from torch import Tensor, nn

from mlip_design.graph import AtomGraph
from mlip_design.potential import Prediction


class EnergyForcesLoss(nn.Module):
    """energy_weight, forces_weight: dimensionless. delta: where norms turn quadratic, in units of the scale.

    stress_weight: weight of |d(stress)| x 1 Å^3, for structures that have a stress label; 0 leaves stress out.
    saturation: eV/Å, force beyond which errors count relative to the force; `inf` for plain errors.
    """

    def __init__(
        self, energy_weight: float, forces_weight: float, stress_weight: float, delta: float, saturation: float
    ):
        super().__init__()
        self.energy_weight = energy_weight
        self.forces_weight = forces_weight
        self.stress_weight = stress_weight
        self.delta = delta
        self.saturation = saturation

    def forward(self, prediction: Prediction, graph: AtomGraph, scale: Tensor) -> Tensor:
        """Scalar loss, dimensionless. scale: eV and eV/Å."""
        energy_error = (prediction.energy - graph.energy) / graph.atoms_per_graph / scale
        relative = 1 + torch.linalg.vector_norm(graph.forces, dim=1) / self.saturation
        force_error = self.smooth_norm((prediction.forces - graph.forces) / scale) / relative
        loss = self.energy_weight * self.smooth_norm(energy_error[:, None]).mean()
        loss = loss + self.forces_weight * force_error.mean()
        if self.stress_weight and graph.stress is not None:
            labelled = ~graph.stress.isnan().flatten(1).any(1)
            stress_error = (prediction.stress[labelled] - graph.stress[labelled]).flatten(1) / scale
            if len(stress_error):
                loss = loss + self.stress_weight * self.smooth_norm(stress_error).mean()
        return loss

    def smooth_norm(self, error: Tensor) -> Tensor:
        """Norm over the last axis, quadratic below delta."""
        return torch.sqrt(error.square().sum(-1) + self.delta**2) - self.delta
