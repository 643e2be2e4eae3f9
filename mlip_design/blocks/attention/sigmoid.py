"""Sigmoid attention (arXiv:2409.04431): every token is taken or left by itself, without competition.

out(a) = sum over b of sigmoid(logit(a, b) + bias) w(b) v(b)

No token's share depends on the others', so nothing is lost when one comes near; the output grows with the number of
neighbours. bias, about minus the logarithm of that number, sets its size at the start: a constant, since counting
neighbours would jump. Logits are `smooth`'s, bounded by sqrt(d) / tau.
"""

import torch
from torch import Tensor

from mlip_design.blocks.attention.smooth import SmoothAttention


class SigmoidAttention(SmoothAttention):
    """As `SmoothAttention`, with a bias (dimensionless) on all logits."""

    def __init__(
        self,
        n_features: int,
        n_heads: int,
        l_max: int,
        tau: float,
        floor: float | None,
        norm_eps: float,
        bias: float,
    ):
        super().__init__(n_features, n_heads, l_max, tau, floor, norm_eps)
        self.bias = bias

    def shares(self, query: Tensor, key: Tensor, weight: Tensor, log_weight: Tensor, legendre: Tensor) -> Tensor:
        """See `SoftmaxAttention`; the weight is on the values."""
        return torch.sigmoid(self.logits(query, key, torch.full_like(weight, self.bias), legendre))
