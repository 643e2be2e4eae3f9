"""The soft count (see `soft_count`) as a kernel: all pairs of a row in one pass (see `fused`)."""

import ctypes
from pathlib import Path

from torch import Tensor

from mlip_design.blocks.fused import call, empty_like, threads

SOURCE = Path(__file__).with_suffix(".c")
PAIRS_A_THREAD = 10_000


class Sizes(ctypes.Structure):
    """As in the source."""

    _fields_ = [(name, ctypes.c_int64) for name in ("n_rows", "n", "n_threads")]


class SoftCountKernel:
    """Of values and weights (n_rows, n); its value has their shape."""

    def value(self, values: Tensor, weights: Tensor) -> Tensor:
        """See `fused.Kernel`."""
        counts = empty_like(values)
        call(SOURCE, "soft_count_forward", sizes(values), values, weights, counts)
        return counts

    def gradients(self, values: Tensor, weights: Tensor, gradient: Tensor) -> list[Tensor]:
        """See `fused.Kernel`."""
        found = [empty_like(values), empty_like(weights)]
        call(SOURCE, "soft_count_backward", sizes(values), values, weights, gradient, *found)
        return found

    def seconds(self, *tensors: Tensor) -> list[Tensor]:
        """See `fused.Kernel`."""
        found = [empty_like(tensor) for tensor in tensors[:3]]
        call(SOURCE, "soft_count_second", sizes(tensors[0]), *tensors, *found)
        return found


def sizes(values: Tensor) -> Sizes:
    """For the source."""
    n_rows, n = values.shape
    return Sizes(n_rows, n, threads(n_rows, 1 + PAIRS_A_THREAD // max(n**2, 1)))
