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
        *((name, ctypes.c_int64) for name in ("n_atoms", "most_tokens", "n_features", "n_heads", "n_orders")),
        *((name, ctypes.c_int64) for name in ("selves_only", "normalized", "weighted", "n_threads")),
        ("scale", ctypes.c_double),
        ("eps", ctypes.c_double),
    ]


class AttentionKernel(NamedTuple):
    """Of query (n_tokens, n_features), key_value (n_tokens, 2 n_features), weight and log_weight (n_tokens,), unit
    (n_tokens, 3), as in `TokenLayout`; its value has the shape of query.
    """

    first: Tensor
    """As in `TokenLayout`."""
    most_tokens: int
    """Of any centre."""
    selves_only: bool
    """Queries are those of self tokens, (n_atoms, n_features)."""
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
        call(SOURCE, "attention_forward", self.sizes(tensors[0]), self.first, *tensors, mixed)
        return mixed

    def gradients(self, *tensors: Tensor) -> list[Tensor]:
        """See `fused.Kernel`."""
        found = [empty_like(tensor) for tensor in tensors[:-1]]
        call(SOURCE, "attention_backward", self.sizes(tensors[0]), self.first, *tensors, *found)
        return found

    def seconds(self, *tensors: Tensor) -> list[Tensor]:
        """See `fused.Kernel`."""
        found = [empty_like(tensor) for tensor in tensors[:6]]  # the inputs and the gradient of the value
        call(SOURCE, "attention_second", self.sizes(tensors[0]), self.first, *tensors, *found)
        return found

    def sizes(self, query: Tensor) -> Sizes:
        """For the source."""
        n_atoms = len(self.first) - 1
        return Sizes(
            n_atoms=n_atoms,
            most_tokens=self.most_tokens,
            n_features=query.shape[-1],
            n_heads=self.n_heads,
            n_orders=self.n_orders,
            selves_only=self.selves_only,
            normalized=self.norm_eps is not None,
            weighted=self.weighted,
            n_threads=threads(n_atoms, CENTRES_A_THREAD),
            scale=self.scale,
            eps=self.norm_eps or 0.0,
        )
