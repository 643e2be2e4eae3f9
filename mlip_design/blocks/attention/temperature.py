"""Temperature-controlled attention: logits divided by tau > 1 (arXiv:2602.04861).

The softmax then changes 1/tau as fast with its logits: no single token takes over within a small displacement.
"""

from mlip_design.blocks.attention.softmax import SoftmaxAttention


class TemperatureAttention(SoftmaxAttention):
    """As `SoftmaxAttention`, with temperature tau (dimensionless, positive)."""

    def __init__(self, n_features: int, n_heads: int, l_max: int, tau: float):
        super().__init__(n_features, n_heads, l_max)
        if tau <= 0:
            raise ValueError(f"attention: tau = {tau} must be positive")
        self.scale = self.scale / tau
