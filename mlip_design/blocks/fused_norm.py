"""The root-mean-square norm as a kernel: one pass over each vector (see `fused`)."""

import ctypes
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from mlip_design.blocks.fused import call, empty_like, threads

SOURCE = Path(__file__).with_suffix(".c")
NUMBERS_A_THREAD = 50_000


class Sizes(ctypes.Structure):
    """As in the source."""

    _fields_ = [*((name, ctypes.c_int64) for name in ("n_rows", "n", "n_threads")), ("eps", ctypes.c_double)]


class NormKernel(NamedTuple):
    """Of vectors (..., n); its value has their shape."""

    eps: float
    """Added to the mean square."""

    def value(self, vectors: Tensor) -> Tensor:
        """See `fused.Kernel`."""
        return self.made("norm_forward", 1, vectors)[0]

    def gradients(self, *tensors: Tensor) -> list[Tensor]:
        """See `fused.Kernel`."""
        return self.made("norm_backward", 1, *tensors)

    def seconds(self, *tensors: Tensor) -> list[Tensor]:
        """See `fused.Kernel`."""
        return self.made("norm_second", 2, *tensors)

    def made(self, function: str, count: int, *tensors: Tensor) -> list[Tensor]:
        """So many tensors that a function of the source writes."""
        vectors = tensors[0]
        found = [empty_like(vectors) for _ in range(count)]
        n = vectors.shape[-1]
        n_rows = vectors.numel() // n
        sizes = Sizes(n_rows, n, threads(vectors.numel(), NUMBERS_A_THREAD), self.eps)
        call(SOURCE, function, sizes, *tensors, *found)
        return found
