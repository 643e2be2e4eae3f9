"""Smooth attention: temperature, normalised queries and keys, and the envelope on the values as well.

With each head's q and k normalised to length sqrt(d), logits stay within +-sqrt(d) / tau whatever the weights do.
Values are multiplied by w, so that a token that fades has faded from the sum as well as from the softmax.
"""

import torch
from torch import Tensor

from mlip_design.blocks.attention.temperature import TemperatureAttention

NORM_EPS = 1e-5


class SmoothAttention(TemperatureAttention):
    """As `TemperatureAttention`, with bounded logits and weighted values."""

    def split(self, projected: Tensor) -> Tensor:
        """Heads normalised over all their channels: (n_atoms, n_heads, l_max + 1, n_tokens, channels)."""
        n_atoms, n_tokens, n_features = projected.shape
        heads = projected.view(n_atoms, n_tokens, self.n_heads, -1)
        normalised = torch.nn.functional.rms_norm(heads, heads.shape[-1:], eps=NORM_EPS)
        return super().split(normalised.view(n_atoms, n_tokens, n_features))

    def weigh(self, value: Tensor, weight: Tensor) -> Tensor:
        """Values times the envelope of their token."""
        return value * weight[:, :, None]
