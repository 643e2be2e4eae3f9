"""Smooth attention: temperature, normalised queries and keys, and the envelope on the values as well.

With each head's q and k normalised to length sqrt(d), logits stay within +-sqrt(d) / tau whatever the weights do.
Values are multiplied by w, so that a token that fades has faded from the sum as well as from the softmax.
"""

from torch import Tensor

from mlip_design.blocks.attention.temperature import TemperatureAttention
from mlip_design.blocks.fused_attention import Parts
from mlip_design.blocks.norm import rms_norm


class SmoothAttention(TemperatureAttention):
    """As `TemperatureAttention`, with bounded logits and weighted values.

    norm_eps: added to the mean square of queries and keys before its root divides them.
    """

    fused = Parts(normalized=True, weighted=True)

    def __init__(
        self, n_features: int, n_heads: int, l_max: int, tau: float, floor: float | None, norm_eps: float
    ):
        super().__init__(n_features, n_heads, l_max, tau, floor)
        self.norm_eps = norm_eps

    def normalize(self, vectors: Tensor) -> Tensor:
        """Scaled to root mean square 1 over the channels of each head."""
        return rms_norm(vectors, self.norm_eps)

    def weigh(self, value: Tensor, weight: Tensor) -> Tensor:
        """Values times the envelope of their token."""
        return value * weight[:, None]
