"""Smooth attention: temperature, normalised queries and keys, and the envelope on the values as well.

With each head's q and k normalised to length sqrt(d), logits stay within +-sqrt(d) / tau whatever the weights do.
Values are multiplied by w, so that a token that fades has faded from the sum as well as from the softmax.
"""

from torch import Tensor

from mlip_design.blocks.attention.temperature import TemperatureAttention
from mlip_design.blocks.norm import rms_norm

NORM_EPS = 1e-5


class SmoothAttention(TemperatureAttention):
    """As `TemperatureAttention`, with bounded logits and weighted values."""

    def normalize(self, vectors: Tensor) -> Tensor:
        """Scaled to root mean square 1 over the channels of each head."""
        return rms_norm(vectors, NORM_EPS)

    def weigh(self, value: Tensor, weight: Tensor) -> Tensor:
        """Values times the envelope of their token."""
        return value * weight[:, :, None]
