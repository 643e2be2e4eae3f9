"""Screened nuclear repulsion of Ziegler, Biersack and Littmark (1985), switched off smoothly below bonding distances.

V(d) = k_e Z_i Z_j / d phi(d / a) w(d / c),   a = 0.8854 a_0 / (Z_i^0.23 + Z_j^0.23),   c = reach (R_i + R_j)

phi is the universal screening function and w the bump exp(-x^2 / (1 - x^2)), so that every derivative vanishes at c;
the edge's own weight multiplies it, so that an edge that leaves takes its repulsion along. V grows without limit as
d -> 0 and so holds atoms apart where training data end.
"""

import torch
from ase.data import covalent_radii
from torch import Tensor, nn

from mlip_design.blocks.contracts import Edges

COULOMB = 14.3996454784
"""k_e e^2, eV Å."""
SCREENING_LENGTH = 0.8854 * 0.529177210903
"""0.8854 a_0, Å."""
AMPLITUDES = (0.18175, 0.50986, 0.28022, 0.02817)
EXPONENTS = (3.19980, 0.94229, 0.40290, 0.20162)


class ZBL(nn.Module):
    """reach: where the repulsion has gone, in units of the sum of the covalent radii; below 1 bonds do not feel it."""

    def __init__(self, reach: float):
        super().__init__()
        self.reach = reach
        self.register_buffer("radii", torch.tensor(covalent_radii), persistent=False)

    def forward(self, numbers: Tensor, edges: Edges) -> Tensor:
        """numbers (n_atoms,) -> (n_atoms,) eV, each atom's half of its pair energies."""
        pairs = torch.stack([numbers[edges.source], numbers[edges.target]])
        cutoff = self.reach * self.radii.to(edges.distance.dtype)[pairs].sum(0)
        near = torch.nonzero(edges.distance < cutoff).squeeze(1)
        distance = edges.distance.index_select(0, near)
        charges = pairs[:, near].to(distance.dtype)
        scaled = distance * charges.pow(0.23).sum(0) / SCREENING_LENGTH
        screening = sum(a * torch.exp(-b * scaled) for a, b in zip(AMPLITUDES, EXPONENTS, strict=True))
        reduced = distance / cutoff[near]
        switch = torch.exp(-(reduced**2) / ((1 - reduced) * (1 + reduced)))
        pair_energy = (
            COULOMB * charges.prod(0) / distance * screening * switch * edges.weight.index_select(0, near)
        )
        return distance.new_zeros(len(numbers)).index_add(0, edges.source[near], 0.5 * pair_energy)
