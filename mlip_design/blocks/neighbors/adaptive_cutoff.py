"""A cutoff of its own for every atom, within which about k neighbours lie; an edge has the mean of its two atoms'.

The cutoff R_i of atom i is where its smooth count of neighbours reaches k:

    sum over j of S((R_i - d_ij) / width) + k (R_i / r_c)^3 = k,        x_ij = d_ij / ((R_i + R_j) / 2)

S is the C-infinity step from 0 to 1, and the cubic term the neighbours of a uniform density: it makes the count rise
strictly, so that there is one R_i, never above r_c (which a lone atom has), and atoms beyond r_c do not matter. After
the adaptive cutoff of PET (metatrain), there found by root finding too.

R_i is found without derivatives; two Newton steps from there give it its derivatives up to the third: each step
doubles the order to which R_i depends on the distances as it should.
"""

import math

import torch
from torch import Tensor, nn

from mlip_design.blocks.smooth_step import smooth_step, smooth_step_slope

MAX_STEPS = 60
"""Of the search, each of which halves the interval at least."""


class AdaptiveCutoff(nn.Module):
    """cutoff: r_c, Å, the largest. n_neighbors: k. width: Å, over which a neighbour comes to count."""

    continuity_order = math.inf

    def __init__(self, cutoff: float, n_neighbors: float, width: float):
        super().__init__()
        if min(cutoff, n_neighbors, width) <= 0:
            raise ValueError(
                "neighbors adaptive_cutoff: cutoff, n_neighbors and width must be positive, "
                f"not {cutoff}, {n_neighbors}, {width}"
            )
        self.cutoff = cutoff
        self.n_neighbors = n_neighbors
        self.width = width

    def forward(self, distance: Tensor, source: Tensor, reverse: Tensor, n_atoms: int) -> Tensor:
        """(n_edges,) Å -> (n_edges,), dimensionless."""
        own = self.cutoffs(distance, source, n_atoms).index_select(0, source)
        return distance / (0.5 * (own + own.index_select(0, reverse)))

    def cutoffs(self, distance: Tensor, source: Tensor, n_atoms: int) -> Tensor:
        """R of every atom: distances (n_edges,), Å -> (n_atoms,), Å."""
        with torch.no_grad():
            found = self.search(distance, source, n_atoms)
        for _ in range(2):
            surplus, slope = self.surplus(found, distance, source)
            found = found - surplus / slope
        return found

    def search(self, distance: Tensor, source: Tensor, n_atoms: int) -> Tensor:
        """R to rounding, by Newton steps that stay between bounds: (n_atoms,), Å."""
        low, high = distance.new_zeros(n_atoms), distance.new_full((n_atoms,), self.cutoff)
        found = 0.5 * high
        enough = 4 * torch.finfo(distance.dtype).eps
        for _ in range(MAX_STEPS):
            surplus, slope = self.surplus(found, distance, source)
            low, high = torch.where(surplus < 0, found, low), torch.where(surplus < 0, high, found)
            step = found - surplus / slope
            step = torch.where((step >= low) & (step <= high), step, 0.5 * (low + high))
            if ((step - found).abs() <= enough * self.cutoff).all():
                break
            found = step
        return found

    def surplus(self, cutoffs: Tensor, distance: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Neighbours counted within cutoffs (n_atoms,), Å, above k, and how the number rises (1/Å): both (n_atoms,)."""
        place = (cutoffs.index_select(0, source) - distance) / self.width
        fraction = cutoffs / self.cutoff
        count = (self.n_neighbors * fraction**3).index_add(0, source, smooth_step(place))
        rise = 3 * self.n_neighbors / self.cutoff * fraction**2
        return count - self.n_neighbors, rise.index_add(0, source, smooth_step_slope(place) / self.width)
