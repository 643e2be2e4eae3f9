"""Temperature-controlled attention: logits divided by tau > 1 (arXiv:2602.04861).

The softmax then changes 1/tau as fast with its logits: no single token takes over within a small displacement. tau is
fixed, or trained above a floor: tau = floor + softplus(raw).
"""

import torch
from torch import Tensor, nn

from mlip_design.blocks.attention.softmax import SoftmaxAttention
from mlip_design.blocks.fused_attention import Parts


class TemperatureAttention(SoftmaxAttention):
    """As `SoftmaxAttention`, with temperature tau (dimensionless, positive).

    floor: below tau; tau then is where training starts, and never falls to the floor. None: tau is fixed.
    """

    fused = Parts(normalized=False, weighted=False)

    def __init__(self, n_features: int, n_heads: int, l_max: int, tau: float, floor: float | None):
        super().__init__(n_features, n_heads, l_max)
        if tau <= 0:
            raise ValueError(f"attention: tau = {tau} must be positive")
        if floor is not None and not 0 <= floor < tau:
            raise ValueError(
                f"attention: floor = {floor} must be null (a fixed tau) or from 0 to below tau = {tau}"
            )
        self.floor = floor
        if floor is None:
            self.scale = self.scale / tau
        else:
            self.raw = nn.Parameter(torch.tensor(float(tau - floor)).expm1().log())

    def temper(self, query: Tensor) -> Tensor:
        """Queries divided by tau, if it is trained; a fixed one is in the scale of the logits."""
        return query if self.floor is None else query / (self.floor + nn.functional.softplus(self.raw))
