"""No envelope: w = 1 up to the cutoff. Energy and forces jump there; kept to show what breaks."""

import torch
from torch import Tensor, nn


class NoEnvelope(nn.Module):
    """Weight 1 for every edge of the graph."""

    continuity_order = -1

    def forward(self, reduced: Tensor) -> tuple[Tensor, Tensor]:
        """(n_edges,) in [0, 1) -> (ones, zeros)."""
        return torch.ones_like(reduced), torch.zeros_like(reduced)
