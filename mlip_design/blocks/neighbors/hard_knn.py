"""k nearest neighbours by sorting: x = max(rank_i / k, rank_j / k, d / r_c).

The ranks are integers plus one half (the limit s -> 0 of `diff_knn`), so x jumps where two neighbours of a
centre exchange places: the potential energy surface is discontinuous. This is the flawed baseline that the
smoothness tests must catch (arXiv:2602.04861).
"""

import torch
from torch import Tensor, nn

from mlip_design.blocks.padding import pad, slots_within_source


class HardKNN(nn.Module):
    """cutoff: r_c, Å. n_neighbors: k, the number of nearest neighbours kept (both atoms must keep each other)."""

    continuity_order = -1

    def __init__(self, cutoff: float, n_neighbors: int):
        super().__init__()
        self.cutoff = cutoff
        self.n_neighbors = n_neighbors

    def forward(self, distance: Tensor, source: Tensor, reverse: Tensor, n_atoms: int) -> Tensor:
        """(n_edges,) Å -> (n_edges,), dimensionless."""
        slots, width = slots_within_source(source, n_atoms)
        rows = source * width + slots
        padded = pad(distance.detach(), rows, n_atoms * width, torch.inf).view(n_atoms, width)
        order = padded.argsort(dim=1).argsort(dim=1)
        rank = (order.flatten()[rows].to(distance.dtype) + 0.5) / self.n_neighbors
        return torch.maximum(torch.maximum(rank, rank.index_select(0, reverse)), distance / self.cutoff)
