"""Linear attention (arXiv:2006.16236): shares linear in positive features of the keys, no exponential of a product.

share(a, b) = w(b) phi(q(a)) . phi(k(b)) / (sum over c of w(c) phi(q(a)) . phi(k(c))),   phi = softplus
out(a)      = sum over b of share(a, b) P_l(cos theta_ab) v(b)                             for each head

Queries and keys are normalised as in `smooth`. Shares change no faster than their features do: the gentlest attention,
and the least selective. The angles stand outside of the shares, since P_l may be negative.
"""

import torch
from torch import Tensor

from mlip_design.blocks.attention.softmax import SoftmaxAttention
from mlip_design.blocks.norm import rms_norm


class LinearAttention(SoftmaxAttention):
    """As `SoftmaxAttention`; norm_eps: added to the mean square of queries and keys before its root divides them."""

    def __init__(self, n_features: int, n_heads: int, l_max: int, norm_eps: float):
        super().__init__(n_features, n_heads, l_max)
        self.norm_eps = norm_eps

    def normalize(self, vectors: Tensor) -> Tensor:
        """Positive features of the vectors, scaled before to root mean square 1 over the channels of each head."""
        return torch.nn.functional.softplus(rms_norm(vectors, self.norm_eps))

    def shares(self, query: Tensor, key: Tensor, weight: Tensor, log_weight: Tensor, legendre: Tensor) -> Tensor:
        """See `SoftmaxAttention`."""
        similar = key @ query.transpose(-1, -2) * weight[:, None, :, None]
        shares = similar / similar.sum(2, keepdim=True)
        return (shares.unflatten(1, (self.repeats, -1)) * legendre[:, None]).flatten(1, 2)
