"""Bump envelope w(x) = exp(-x^2 / (1 - x^2)): infinitely differentiable; flat at x = 0, all derivatives 0 at x = 1."""

import math

import torch
from torch import Tensor, nn


class Bump(nn.Module):
    """The C-infinity envelope."""

    continuity_order = math.inf

    def forward(self, reduced: Tensor) -> tuple[Tensor, Tensor]:
        """(n_edges,) in [0, 1) -> (weight, ln weight)."""
        log_weight = -(reduced**2) / ((1 - reduced) * (1 + reduced))
        return torch.exp(log_weight), log_weight
