"""Scaled dot-product attention among the tokens of one centre, without a temperature.

logit(a, b) = q(a) . k(b) P_l(cos theta_ab) / sqrt(d) + ln w(b)          for each head
out(a)      = sum over b of softmax_b(logit(a, b)) v(b)

Heads take turns at the Legendre orders l = 0 .. l_max: those of order 0 are ordinary attention, the others see the
angle between two edges, while the model stays rotation-invariant. ln w makes the softmax weight of a token
proportional to its envelope, so a token that leaves (w -> 0) has lost all influence before; the self token (w = 1)
keeps every row finite. Large logits make the softmax switch abruptly between tokens: see `temperature` and `smooth`.

Others build on this: they exchange what queries and keys are (`normalize`, `temper`), what a logit is (`logits`), what
part of a value a token takes (`shares`), and what a value is (`weigh`). A class whose formula the fused kernel has,
too, says so in a `fused` of its own; what inherits and exchanges a part is computed as written here.
"""

import math

import torch
from torch import Tensor, nn

from mlip_design.blocks.fused import can_fuse, fused
from mlip_design.blocks.fused_attention import SOURCE, AttentionKernel, Parts
from mlip_design.blocks.token_layout import TokenLayout


class SoftmaxAttention(nn.Module):
    """n_features: channels in and out. n_heads: heads, a multiple of l_max + 1. l_max: highest Legendre order."""

    continuity_order = math.inf
    fused = Parts(normalized=False, weighted=False)

    def __init__(self, n_features: int, n_heads: int, l_max: int):
        super().__init__()
        if n_features % n_heads or n_heads % (l_max + 1):
            raise ValueError(
                f"attention: n_features = {n_features} must be a multiple of n_heads = {n_heads}, "
                f"and n_heads of l_max + 1 = {l_max + 1}"
            )
        self.n_heads = n_heads
        self.repeats = n_heads // (l_max + 1)
        self.scale = (n_features // n_heads) ** -0.5
        self.project_query = nn.Linear(n_features, n_features, bias=False)
        self.project_key_value = nn.Linear(n_features, 2 * n_features, bias=False)
        self.project_out = nn.Linear(n_features, n_features, bias=False)

    def forward(self, tokens: Tensor, layout: TokenLayout, selves_only: bool = False) -> Tensor:
        """Shapes as in `contracts.Attention`."""
        query = self.project_query(tokens[: layout.n_atoms] if selves_only else tokens)
        key_value = self.project_key_value(tokens)
        kernel = self.kernel(layout, selves_only) if can_fuse(SOURCE, tokens) else None
        if kernel is None:
            return self.project_out(self.mix(query, key_value, layout, selves_only))

        def formula(query: Tensor, key_value: Tensor, *moving: Tensor) -> Tensor:
            return self.mix(query, key_value, layout.moved(*moving), selves_only)

        given = (query, key_value, layout.weight, layout.log_weight, layout.unit)
        return self.project_out(fused(kernel, formula, *given))

    def kernel(self, layout: TokenLayout, selves_only: bool) -> AttentionKernel | None:
        """The kernel that computes this formula; None where there is none, or a parameter that it does not know."""
        parts, n_orders = vars(type(self)).get("fused"), layout.l_max + 1
        has_own_parameters = any(True for _ in self.parameters(recurse=False))
        if parts is None or has_own_parameters or n_orders * self.repeats != self.n_heads:
            return None
        return AttentionKernel(
            layout.first,
            layout.width,
            selves_only,
            self.n_heads,
            n_orders,
            self.scale,
            self.norm_eps if parts.normalized else None,
            parts.weighted,
        )

    def mix(self, query: Tensor, key_value: Tensor, layout: TokenLayout, selves_only: bool) -> Tensor:
        """Values of the tokens mixed for each query, in the shape of query, dimensionless.

        query: (n_tokens, n_features), or (n_atoms, n_features) if of self tokens only; key_value: (n_tokens,
        2 n_features); both as projected.
        """
        key, value = key_value.chunk(2, dim=-1)
        query = self.temper(self.normalize(self.heads(query)))
        key, value = self.normalize(self.heads(key)), self.heads(self.weigh(value, layout.weight))
        query = query[:, None] if selves_only else layout.side_by_side(query, fill=1.0)  # its shares are finite
        key, value = layout.side_by_side(key), layout.side_by_side(value)
        query, key, value = (vectors.transpose(1, 2) for vectors in (query, key, value))
        weight, log_weight, legendre = layout.geometry
        shares = self.shares(query, key, weight, log_weight, legendre[..., : query.shape[2]])
        mixed = (shares.transpose(-1, -2) @ value).transpose(1, 2)
        return (mixed[:, 0] if selves_only else layout.in_rows(mixed)).flatten(1)

    def shares(self, query: Tensor, key: Tensor, weight: Tensor, log_weight: Tensor, legendre: Tensor) -> Tensor:
        """What part of the value of every token each query takes: (n_atoms, n_heads, width, n_queries).

        query: (n_atoms, n_heads, n_queries, channels); key: with width; the others: see `Geometry`. Keys stand in rows:
        a softmax over the last dimension, shorter than a vector register, is several times as slow.
        """
        return self.logits(query, key, log_weight, legendre).softmax(dim=-2)

    def logits(self, query: Tensor, key: Tensor, offset: Tensor, legendre: Tensor) -> Tensor:
        """Logits plus an offset of each key, (n_atoms, width): shapes as in `shares`."""
        products = (key @ query.transpose(-1, -2)).unflatten(1, (self.repeats, -1))
        offset = offset[:, None, None, :, None]
        return torch.addcmul(offset, products, legendre[:, None], value=self.scale).flatten(1, 2)

    def heads(self, projected: Tensor) -> Tensor:
        """(n_tokens, n_features) -> (n_tokens, n_heads, channels)."""
        return projected.unflatten(-1, (self.n_heads, -1))

    def normalize(self, vectors: Tensor) -> Tensor:
        """Queries or keys as they enter the product, (n_tokens, n_heads, channels)."""
        return vectors

    def temper(self, query: Tensor) -> Tensor:
        """Queries divided by a temperature that is trained, if there is one."""
        return query

    def weigh(self, value: Tensor, weight: Tensor) -> Tensor:
        """Values (n_tokens, n_features) as they enter the sum; weight (n_tokens,)."""
        return value
