"""Names of the numbers a run reports: one list for loggers, checkpoints, sweeps and selection.

`<split>/energy_mae_per_atom` (eV/atom), `<split>/forces_mae` (eV/Å, mean over components), and, of the scans of a
split, `<split>/bsct/<key>` with the keys of `mlip_design.bsct`. `val/equivariance_error` (eV/Å), of potentials that are
not rotation-equivariant: mean over components of |F(x R) - F(x) R| for random rotations R of one validation batch.
"""

import torch
from torchmetrics import Metric, MetricCollection

from mlip_design.graph import AtomGraph
from mlip_design.potential import Prediction

ENERGY_MAE = "energy_mae_per_atom"
FORCES_MAE = "forces_mae"
EQUIVARIANCE_ERROR = "val/equivariance_error"


class EnergyMAE(Metric):
    """Mean over structures of |dE| / n_atoms, eV/atom."""

    def __init__(self):
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: Prediction, graph: AtomGraph) -> None:
        """Add the structures of a graph."""
        self.total += ((prediction.energy - graph.energy).abs() / graph.atoms_per_graph).sum()
        self.count += graph.n_graphs

    def compute(self) -> torch.Tensor:
        """Scalar, eV/atom."""
        return self.total / self.count


class ForcesMAE(Metric):
    """Mean over force components of |dF|, eV/Å."""

    def __init__(self):
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: Prediction, graph: AtomGraph) -> None:
        """Add the atoms of a graph."""
        self.total += (prediction.forces - graph.forces).double().abs().sum()
        self.count += graph.forces.numel()

    def compute(self) -> torch.Tensor:
        """Scalar, eV/Å."""
        return self.total / self.count


def split_metrics(split: str) -> MetricCollection:
    """Energy and force errors of one split, under their public names."""
    return MetricCollection({ENERGY_MAE: EnergyMAE(), FORCES_MAE: ForcesMAE()}, prefix=f"{split}/")
