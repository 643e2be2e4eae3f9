"""Differentiable k nearest neighbours (arXiv:2602.04861), mended for crowded shells and for atoms at the cutoff.

Soft rank of j around i:   r_i(j) = sum over neighbours m of i of f(d_im) sigmoid((d_ij - d_im) / s)
Reduced distance:          x = t logsumexp([r_i(j) / K_ij, r_j(i) / K_ij, d_ij / r_c] / t)

The published formula has f = 1 and K_ij = k. x exceeds each of its three arguments, by at most t ln 3: an edge leaves
at a distance somewhat below r_c, or at a rank somewhat below k.

f is 1 up to r_c - fade and falls to 0 at r_c with all derivatives, so that an atom that crosses the cutoff changes no
rank by a jump.

K_ij = k c_i c_j keeps every atom connected. In a shell of n equal distances all soft ranks are n / 2: with K = k the
centre loses all of them at once as soon as n reaches about 2 k; and an atom that comes near a dense body ranks behind
the k neighbours that every atom there has. So k is enlarged where the nearest neighbours themselves rank too high:

    q_ij = t logsumexp([r_i(j) / k, r_j(i) / k] / t)                                the rank of an edge, as published
    xi_i = sum over j of p_ij q_ij,   p_ij ~ f(d_ij) exp(-d_ij / s)                 of the nearest ones of i
    c_i  = 1 + (xi_i / THETA - 1) S((xi_i - THETA) / (1 - THETA)),  THETA = 0.7     S: the C-infinity step

with one more, virtual neighbour of rank 0 at r_c among the p_ij. c = 1 exactly, and x as published, where the nearest
neighbours rank below 0.7 k; where they rank above k they enter with THETA instead, so that a shell of any size counts
like one of k. Everything is infinitely differentiable.

Cost: n_atoms x n_candidates^2 comparisons, a bounded number of them at a time (see `soft_count`).
"""

import math

import torch
from torch import Tensor, nn

from mlip_design.blocks.padding import pad, slots_within_source
from mlip_design.blocks.smooth_step import log_smooth_step, smooth_step
from mlip_design.blocks.soft_count import soft_count

THETA = 0.7
"""Rank of the nearest neighbours, in units of k, above which k is enlarged."""


class DiffKNN(nn.Module):
    """Smooth selection of about k nearest neighbours.

    cutoff: r_c, Å. n_neighbors: k. rank_width: s, Å. temperature: t, dimensionless. fade: Å, the last stretch
    before r_c over which an atom stops counting in the ranks of others.
    """

    continuity_order = math.inf

    def __init__(self, cutoff: float, n_neighbors: int, rank_width: float, temperature: float, fade: float):
        super().__init__()
        self.cutoff = cutoff
        self.n_neighbors = n_neighbors
        self.rank_width = rank_width
        self.temperature = temperature
        self.fade = fade

    def forward(self, distance: Tensor, source: Tensor, reverse: Tensor, n_atoms: int) -> Tensor:
        """(n_edges,) Å -> (n_edges,), dimensionless."""
        slots, width = slots_within_source(source, n_atoms)
        rows = source * width + slots
        rank = self.soft_rank(distance, rows, n_atoms, width) / self.n_neighbors
        opposite = rank.index_select(0, reverse)
        crowding = self.crowding(distance, self.smooth_maximum(rank, opposite), rows, n_atoms, width)
        if (crowding > THETA).any():
            enlarged = enlargement(crowding).index_select(0, source)
            enlarged = enlarged * enlarged.index_select(0, reverse)
            rank, opposite = rank / enlarged, opposite / enlarged
        return self.smooth_maximum(rank, opposite, distance / self.cutoff)

    def smooth_maximum(self, *values: Tensor) -> Tensor:
        """Somewhat more than the largest of several (n_edges,)."""
        return self.temperature * torch.logsumexp(torch.stack(values) / self.temperature, dim=0)

    def soft_rank(self, distance: Tensor, rows: Tensor, n_atoms: int, width: int) -> Tensor:
        """Number of neighbours closer than each edge, counted smoothly: (n_edges,) Å -> (n_edges,)."""
        padded = pad(distance, rows, n_atoms * width, self.cutoff).view(n_atoms, width)
        counts = pad(smooth_step(self.depth(distance)), rows, n_atoms * width).view(n_atoms, width)
        ranks = soft_count(padded / self.rank_width, counts)
        return ranks.flatten().index_select(0, rows)

    def depth(self, distance: Tensor) -> Tensor:
        """How far inside of the cutoff, in units of `fade`: (n_edges,) Å -> (n_edges,)."""
        return (self.cutoff - distance) / self.fade

    def crowding(self, distance: Tensor, rank: Tensor, rows: Tensor, n_atoms: int, width: int) -> Tensor:
        """xi, the rank in units of k of the nearest neighbours of every atom: (n_edges,) -> (n_atoms,)."""
        closeness = log_smooth_step(self.depth(distance)) - (distance - self.cutoff) / self.rank_width
        closeness = pad(closeness, rows, n_atoms * width, -torch.inf).view(n_atoms, width)
        shares = torch.cat([closeness.new_zeros(n_atoms, 1), closeness], dim=1).softmax(dim=1)[:, 1:]
        return (shares * pad(rank, rows, n_atoms * width).view(n_atoms, width)).sum(1)


def enlargement(crowding: Tensor) -> Tensor:
    """c, the factor by which an atom enlarges k, of its crowding, both (n_atoms,): 1 up to THETA."""
    return 1 + (crowding / THETA - 1) * smooth_step((crowding - THETA) / (1 - THETA))
