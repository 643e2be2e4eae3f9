"""Gaussians of exp(-d / L) (PhysNet, arXiv:1902.08408): narrow at short distances, broad at long ones.

exp(-((y - c_n) / sigma)^2 / 2),   y = exp(-d / L),   c_n equally spaced from exp(-r_c / L) to 1

sigma = width x spacing of the c_n; in Å its width is about sigma L exp(d / L). Smooth everywhere, d = 0 included.
"""

import math

import torch
from torch import Tensor, nn


class ExpNormal(nn.Module):
    """cutoff: r_c, Å. n_basis: number of centres. width: sigma in units of the spacing. decay: L, Å."""

    continuity_order = math.inf

    def __init__(self, cutoff: float, n_basis: int, width: float, decay: float):
        super().__init__()
        if n_basis < 2 or min(cutoff, width, decay) <= 0:
            raise ValueError(
                "basis expnormal: needs n_basis >= 2 and cutoff, width, decay > 0; "
                f"not {n_basis} and {cutoff}, {width}, {decay}"
            )
        self.n_basis = n_basis
        self.decay = decay
        farthest = math.exp(-cutoff / decay)
        self.sigma = width * (1 - farthest) / (n_basis - 1)
        self.register_buffer("centers", torch.linspace(farthest, 1.0, n_basis), persistent=False)

    def forward(self, distance: Tensor) -> Tensor:
        """(n_edges,) Å -> (n_edges, n_basis), dimensionless."""
        nearness = torch.exp(-distance / self.decay)
        return torch.exp(-0.5 * ((nearness[:, None] - self.centers) / self.sigma) ** 2)
