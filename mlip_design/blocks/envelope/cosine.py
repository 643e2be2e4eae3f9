"""Cosine envelope w(x) = (1 + cos(pi x)) / 2 = sin^2(pi (1 - x) / 2) (Behler 2011): C^1 at x = 1."""

import math

import torch
from torch import Tensor, nn


class Cosine(nn.Module):
    """Value and slope vanish at x = 1; the curvature jumps."""

    continuity_order = 1

    def forward(self, reduced: Tensor) -> tuple[Tensor, Tensor]:
        """(n_edges,) in [0, 1) -> (weight, ln weight)."""
        amplitude = torch.sin(0.5 * math.pi * (1 - reduced))
        return amplitude**2, 2 * torch.log(amplitude)
