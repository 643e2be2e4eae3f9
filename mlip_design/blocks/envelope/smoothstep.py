"""Smoothstep envelope of any order n: the lowest polynomial that falls from 1 to 0 with n derivatives 0 at both ends.

w(x) = (1 - x)^(n+1) sum over m <= n of C(n+m, m) x^m

n = 1 is 1 - 3x^2 + 2x^3, n = 2 is 1 - 10x^3 + 15x^4 - 6x^5. The factored form stays exact near x = 1. A large n falls
steeply in the middle: its curvature grows, however many derivatives are continuous.
"""

import math

import torch
from torch import Tensor, nn


class Smoothstep(nn.Module):
    """order: n, the number of derivatives that vanish at x = 0 and x = 1."""

    def __init__(self, order: int):
        super().__init__()
        if order < 0 or order != int(order):
            raise ValueError(f"envelope smoothstep: order = {order} must be an integer of at least 0")
        self.continuity_order = order

    def forward(self, reduced: Tensor) -> tuple[Tensor, Tensor]:
        """(n_edges,) in [0, 1) -> (weight, ln weight)."""
        n = self.continuity_order
        series = torch.zeros_like(reduced)
        for m in reversed(range(n + 1)):
            series = series * reduced + math.comb(n + m, m)
        log_weight = (n + 1) * torch.log1p(-reduced) + torch.log(series)
        return (1 - reduced) ** (n + 1) * series, log_weight
