"""Chebyshev basis (Artrith, Urban, Ceder 2017, doi:10.1103/PhysRevB.96.014112): T_n(2 d / r_c - 1), n < n_basis.

Polynomials of the distance, within +-1 up to r_c. All orders come from products, T_(m+n) = 2 T_m T_n - T_(m-n), which
are exact and as smooth at both ends as elsewhere; the cosine of an arc cosine is not. No more than some ten functions
resolve what a smooth potential should: their slopes grow as n^2 near d = 0 and d = r_c.
"""

import math

import torch
from torch import Tensor, nn


class Chebyshev(nn.Module):
    """cutoff: r_c, Å. n_basis: number of polynomials."""

    continuity_order = math.inf

    def __init__(self, cutoff: float, n_basis: int):
        super().__init__()
        if n_basis < 1 or cutoff <= 0:
            raise ValueError(f"basis chebyshev: needs n_basis >= 1 and cutoff > 0, not {n_basis} and {cutoff}")
        self.n_basis = n_basis
        self.cutoff = cutoff

    def forward(self, distance: Tensor) -> Tensor:
        """(n_edges,) Å -> (n_edges, n_basis), dimensionless."""
        place = 2 * distance / self.cutoff - 1
        values = torch.stack([torch.ones_like(place), place], dim=1)
        while values.shape[1] < self.n_basis:
            above = 2 * values[:, -1:] * values[:, 1:] - values[:, :-1].flip(1)
            values = torch.cat([values, above], dim=1)
        return values[:, : self.n_basis]
