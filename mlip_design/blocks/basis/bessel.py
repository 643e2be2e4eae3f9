"""Spherical Bessel basis of DimeNet (arXiv:2003.03123, eq. 7): sqrt(2 / r_c) sin(n pi d / r_c) / d, n = 1 .. n_basis.

Made dimensionless by a factor r_c^(3/2) / (pi sqrt(2)), so that function n tends to n as d -> 0. Zero at d = r_c.
The n may be trained, as DimeNet does: then they are where they start, and no function ends at 0 by itself.
"""

import math

import torch
from torch import Tensor, nn


class Bessel(nn.Module):
    """cutoff: r_c, Å. n_basis: number of functions. trainable: whether their frequencies are trained."""

    continuity_order = math.inf

    def __init__(self, cutoff: float, n_basis: int, trainable: bool):
        super().__init__()
        self.n_basis = n_basis
        self.cutoff = cutoff
        order = torch.arange(1.0, n_basis + 1)
        if trainable:
            self.order = nn.Parameter(order)
        else:
            self.register_buffer("order", order, persistent=False)

    def forward(self, distance: Tensor) -> Tensor:
        """(n_edges,) Å -> (n_edges, n_basis), dimensionless."""
        return self.order * torch.sinc(self.order * distance[:, None] / self.cutoff)
