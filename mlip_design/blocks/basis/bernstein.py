"""Bernstein polynomials of exp(-d / L) (SpookyNet, arXiv:2105.00304): positive, and their sum is 1.

C(N, n) y^n (1 - y)^(N - n),   y = exp(-d / L),   n = 0 .. N = n_basis - 1

Function n peaks at d = L ln(N / n), which must not leave out the distances of interest: n = 1 peaks at L ln N. Taken
from the logarithm, so that large N is no trouble. Smooth for all d > 0.
"""

import math

import torch
from torch import Tensor, nn


class Bernstein(nn.Module):
    """n_basis: number of polynomials. decay: L, Å."""

    continuity_order = math.inf

    def __init__(self, n_basis: int, decay: float):
        super().__init__()
        if n_basis < 2 or decay <= 0:
            raise ValueError(f"basis bernstein: needs n_basis >= 2 and decay > 0, not {n_basis} and {decay}")
        self.n_basis = n_basis
        self.decay = decay
        degree = n_basis - 1
        log_binomials = [math.log(math.comb(degree, n)) for n in range(n_basis)]
        self.register_buffer("log_binomials", torch.tensor(log_binomials), persistent=False)
        self.register_buffer("powers", torch.arange(float(n_basis)), persistent=False)

    def forward(self, distance: Tensor) -> Tensor:
        """(n_edges,) Å -> (n_edges, n_basis), dimensionless."""
        exponent = -distance[:, None] / self.decay
        farness = torch.log(-torch.expm1(exponent))
        remaining = self.n_basis - 1 - self.powers
        return torch.exp(self.log_binomials + self.powers * exponent + remaining * farness)
