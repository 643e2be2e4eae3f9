"""Spherical Bessel basis of DimeNet (arXiv:2003.03123, eq. 7): sqrt(2 / r_c) sin(n pi d / r_c) / d, n = 1 .. n_basis.

Made dimensionless by a factor r_c^(3/2) / (pi sqrt(2)), so that function n tends to n as d -> 0. Zero at d = r_c.
"""

import torch
from torch import Tensor, nn


class Bessel(nn.Module):
    """cutoff: r_c, Å. n_basis: number of functions."""

    def __init__(self, cutoff: float, n_basis: int):
        super().__init__()
        self.n_basis = n_basis
        self.cutoff = cutoff
        self.register_buffer("order", torch.arange(1.0, n_basis + 1), persistent=False)

    def forward(self, distance: Tensor) -> Tensor:
        """(n_edges,) Å -> (n_edges, n_basis), dimensionless."""
        return self.order * torch.sinc(self.order * distance[:, None] / self.cutoff)
