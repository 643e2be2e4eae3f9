"""Angular attention: every head sees all Legendre orders of the angle between two edges.

logit(a, b) = sum over l of q_l(a) . k_l(b) P_l(cos theta_ab) / (tau sqrt(d)) + ln w(b)

The d channels of a head are shared out among l = 0 .. l_max; normalised over all of them as in `smooth`, they keep the
logits within +-sqrt(d) / tau. So a head draws a whole function of the angle, where those of `softmax` have one order
each.
"""

import torch
from torch import Tensor

from mlip_design.blocks.attention.smooth import SmoothAttention


class AngularAttention(SmoothAttention):
    """As `SmoothAttention`; n_features / n_heads must be a multiple of l_max + 1."""

    def __init__(
        self, n_features: int, n_heads: int, l_max: int, tau: float, floor: float | None, norm_eps: float
    ):
        if n_features % (n_heads * (l_max + 1)):
            raise ValueError(
                f"attention angular: n_features = {n_features} must be a multiple of n_heads x (l_max + 1) "
                f"= {n_heads * (l_max + 1)}"
            )
        super().__init__(n_features, n_heads, 0, tau, floor, norm_eps)
        self.n_orders = l_max + 1

    def logits(self, query: Tensor, key: Tensor, offset: Tensor, legendre: Tensor) -> Tensor:
        """See `SoftmaxAttention`."""
        query, key = (vectors.unflatten(-1, (self.n_orders, -1)).transpose(2, 3) for vectors in (query, key))
        products = (key @ query.transpose(-1, -2) * legendre[:, None]).sum(2)
        return torch.add(offset[:, None, :, None], products, alpha=self.scale)
