"""All atoms within the cutoff: x = d / r_c."""

import math

from torch import Tensor, nn


class Radius(nn.Module):
    """Reduced distance x = d / r_c.

    cutoff: r_c, Å.
    """

    continuity_order = math.inf

    def __init__(self, cutoff: float):
        super().__init__()
        self.cutoff = cutoff

    def forward(self, distance: Tensor, source: Tensor, reverse: Tensor, n_atoms: int) -> Tensor:
        """(n_edges,) Å -> (n_edges,), dimensionless."""
        return distance / self.cutoff
