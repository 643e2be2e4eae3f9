"""Differentiable k nearest neighbours (arXiv:2602.04861).

Soft rank of j around i:   r_i(j) = sum over neighbours m of i of f(d_im) sigmoid((d_ij - d_im) / s)
Reduced distance:          x = t logsumexp([r_i(j) / k, r_j(i) / k, d_ij / r_c] / t)

f is 1 up to r_c - fade and falls to 0 at r_c with all derivatives, so that an atom that crosses the cutoff
changes no rank by a jump; the published formula is f = 1. x exceeds each of its three arguments, by at most
t ln 3: an edge leaves at a distance somewhat below r_c, or at a rank somewhat below k.
"""

import torch
from torch import Tensor, nn

from mlip_design.blocks.padding import pad, slots_within_source


class DiffKNN(nn.Module):
    """Smooth selection of about k nearest neighbours.

    cutoff: r_c, Å. n_neighbors: k. rank_width: s, Å. temperature: t, dimensionless. fade: Å, the last stretch
    before r_c over which an atom stops counting in the ranks of others.
    """

    continuous = True

    def __init__(self, cutoff: float, n_neighbors: int, rank_width: float, temperature: float, fade: float):
        super().__init__()
        self.cutoff = cutoff
        self.n_neighbors = n_neighbors
        self.rank_width = rank_width
        self.temperature = temperature
        self.fade = fade

    def forward(self, distance: Tensor, source: Tensor, reverse: Tensor, n_atoms: int) -> Tensor:
        """(n_edges,) Å -> (n_edges,), dimensionless."""
        rank = self.soft_rank(distance, source, n_atoms) / self.n_neighbors
        terms = torch.stack([rank, rank.index_select(0, reverse), distance / self.cutoff])
        return self.temperature * torch.logsumexp(terms / self.temperature, dim=0)

    def soft_rank(self, distance: Tensor, source: Tensor, n_atoms: int) -> Tensor:
        """Number of neighbours closer than each edge, counted smoothly: (n_edges,) Å -> (n_edges,)."""
        slots, width = slots_within_source(source, n_atoms)
        rows = source * width + slots
        padded = pad(distance, rows, n_atoms * width, self.cutoff).view(n_atoms, width)
        closer = torch.sigmoid((padded[:, :, None] - padded[:, None, :]) / self.rank_width)
        counts = pad(self.rank_weight(distance), rows, n_atoms * width).view(n_atoms, 1, width)
        return (closer * counts).sum(-1).flatten().index_select(0, rows)

    def rank_weight(self, distance: Tensor) -> Tensor:
        """f(d): 1 below r_c - fade, 0 from r_c on, C-infinity between (ratio of exp(-1/u) functions)."""
        inside = ((self.cutoff - distance) / self.fade).clamp(0.0, 1.0)
        rising = inside.clamp(min=1e-3)
        falling = (1 - inside).clamp(min=1e-3)
        return torch.sigmoid(1 / falling - 1 / rising)
