"""Attention of `softmax`, `temperature` and `smooth` as a kernel: one pass over each centre (see `fused`)."""

import ctypes
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from mlip_design.blocks.fused import call, empty_like, threads

SOURCE = Path(__file__).with_suffix(".c")
CENTRES_A_THREAD = 16


class Parts(NamedTuple):
    """Of the formula, which a class of attention blocks has."""

    normalized: bool
    """Queries and keys are divided by their root mean square."""
    weighted: bool
    """Values are multiplied by the weights of their tokens."""


class Sizes(ctypes.Structure):
    """As in the source."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("n_atoms", "n_tokens", "n_queries", "n_features", "n_heads")),
        *((name, ctypes.c_int64) for name in ("n_orders", "normalized", "weighted", "n_threads")),
        ("scale", ctypes.c_double),
        ("eps", ctypes.c_double),
    ]


class AttentionKernel(NamedTuple):
    """Of query (n_atoms, n_queries, n_features), key_value (n_atoms, n_tokens, 2 n_features), weight and log_weight
    (n_atoms, n_tokens), legendre (n_atoms, n_orders, n_tokens, n_tokens); its value has the shape of query.

    Rows of padding, ln w = -inf behind the last token of a centre, are 0.
    """

    n_heads: int
    n_orders: int
    """Legendre orders, which the heads take in turn."""
    scale: float
    """Of the logits, dimensionless."""
    norm_eps: float | None
    """Added to the mean square of queries and keys before its root divides them; None: they are not normalised."""
    weighted: bool
    """As in `Parts`."""

    def value(self, *tensors: Tensor) -> Tensor:
        """See `fused.Kernel`."""
        mixed = empty_like(tensors[0])
        call(SOURCE, "attention_forward", self.sizes(*tensors), *tensors, mixed)
        return mixed

    def gradients(self, *tensors: Tensor) -> list[Tensor]:
        """See `fused.Kernel`."""
        found = [empty_like(tensor) for tensor in tensors[:-1]]
        call(SOURCE, "attention_backward", self.sizes(*tensors), *tensors, *found)
        return found

    def sizes(self, query: Tensor, key_value: Tensor, *_: Tensor) -> Sizes:
        """For the source."""
        n_atoms, n_queries, n_features = query.shape
        return Sizes(
            n_atoms=n_atoms,
            n_tokens=key_value.shape[1],
            n_queries=n_queries,
            n_features=n_features,
            n_heads=self.n_heads,
            n_orders=self.n_orders,
            normalized=self.norm_eps is not None,
            weighted=self.weighted,
            n_threads=threads(n_atoms, CENTRES_A_THREAD),
            scale=self.scale,
            eps=self.norm_eps or 0.0,
        )
