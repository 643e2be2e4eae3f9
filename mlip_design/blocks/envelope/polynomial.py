"""Polynomial envelope of DimeNet (arXiv:2003.03123, eq. 8), in a factored form, exact near the cutoff.

w(x) = 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2)
     = (1 - x)^3 sum over m < p of (m+1)(m+2)/2 x^m

Value, slope and curvature vanish at x = 1 (C^2); flat at x = 0 up to order p - 1.
"""

import torch
from torch import Tensor, nn


class Polynomial(nn.Module):
    """p: exponent, at least 2; larger keeps the weight near 1 for longer."""

    continuity_order = 2

    def __init__(self, p: int):
        super().__init__()
        if p < 2 or p != int(p):
            raise ValueError(f"envelope polynomial: p = {p} must be an integer of at least 2")
        self.p = p

    def forward(self, reduced: Tensor) -> tuple[Tensor, Tensor]:
        """(n_edges,) in [0, 1) -> (weight, ln weight)."""
        series = torch.zeros_like(reduced)
        for m in reversed(range(self.p)):
            series = series * reduced + (m + 1) * (m + 2) / 2
        log_weight = 3 * torch.log1p(-reduced) + torch.log(series)
        return (1 - reduced) ** 3 * series, log_weight
