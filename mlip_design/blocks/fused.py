"""Formulas that a kernel in C computes in one pass on a CPU.

A formula in torch reads and writes memory in each of its operations; the kernel, a file of the same stem, keeps what
belongs together in the first cache. Values, first and second derivatives, as a loss on forces needs them, are the
kernel's; further ones are those of the formula.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from mlip_design.native import compiled

OPTIONS = {torch.float32: ["-DREAL=float"], torch.float64: ["-DREAL=double", "-DWIDE"]}


class Kernel(Protocol):
    """Of tensors, all of one type and on the CPU."""

    def value(self, *tensors: Tensor) -> Tensor:
        """What the formula gives."""
        ...

    def gradients(self, *tensors: Tensor) -> list[Tensor]:
        """Gradients of the tensors, in their shapes; the last tensor is that of the value."""
        ...

    def seconds(self, *tensors: Tensor) -> list[Tensor]:
        """Gradients of tensors and gradient of the value from those of their gradients, which follow them."""
        ...


@cache
def library(source: Path, dtype: torch.dtype) -> ctypes.CDLL | None:
    """A source compiled for a type; None where it cannot be."""
    return compiled(source, *OPTIONS[dtype]) if dtype in OPTIONS else None


def can_fuse(source: Path, tensor: Tensor) -> bool:
    """Whether there is a kernel for tensors like this one."""
    on_cpu = tensor.device.type == "cpu" and not torch.compiler.is_compiling()
    return on_cpu and library(source, tensor.dtype) is not None


def fused(kernel: Kernel, formula: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """formula(*tensors), which is all that its value depends on, by a kernel. Raises TypeError for several types."""
    if len(types := {tensor.dtype for tensor in tensors}) > 1:
        raise TypeError(f"a fused kernel takes tensors of one type, not of {', '.join(sorted(map(str, types)))}")
    return Fused.apply(kernel, formula, *tensors)


class Fused(torch.autograd.Function):
    """Use `fused`."""

    @staticmethod
    def forward(ctx, kernel: Kernel, formula: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        """As above."""
        ctx.kernel, ctx.formula = kernel, formula
        ctx.save_for_backward(*tensors)
        return kernel.value(*tensors)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the tensors."""
        return None, None, *FusedGradients.apply(ctx.kernel, ctx.formula, *ctx.saved_tensors, gradient)


class FusedGradients(torch.autograd.Function):
    """Gradients of the tensors of a formula, as a function of them and of the gradient of its value."""

    @staticmethod
    def forward(ctx, kernel: Kernel, formula: Callable[..., Tensor], *tensors: Tensor) -> tuple[Tensor, ...]:
        """As above."""
        ctx.kernel, ctx.formula = kernel, formula
        ctx.save_for_backward(*tensors)
        return tuple(kernel.gradients(*tensors))

    @staticmethod
    def backward(ctx, *directions: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of tensors and gradient; with a graph of their own if one is asked for."""
        if torch.is_grad_enabled():
            return None, None, *second_derivatives(ctx.formula, ctx.saved_tensors, directions)
        return None, None, *ctx.kernel.seconds(*ctx.saved_tensors, *directions)


def second_derivatives(
    formula: Callable[..., Tensor], given: tuple[Tensor, ...], directions: tuple[Tensor, ...]
) -> list[Tensor | None]:
    """By torch and with a graph, of the tensors of a formula and, last, of the gradient of its value; None where not
    asked for."""
    given = [tensor.view_as(tensor) for tensor in given]  # so that none is made of another
    *tensors, gradient = given
    moving = [index for index, tensor in enumerate(tensors) if tensor.requires_grad]
    wanted = [tensors[index] for index in moving]
    slopes = torch.autograd.grad(formula(*tensors), wanted, gradient, create_graph=True, materialize_grads=True)
    bent = [(slope, directions[index]) for index, slope in zip(moving, slopes, strict=True) if slope.requires_grad]
    if not bent:
        return [None] * len(given)
    bent, along = zip(*bent, strict=True)
    wanted = [tensor for tensor in given if tensor.requires_grad]
    found = iter(torch.autograd.grad(bent, wanted, along, create_graph=True, materialize_grads=True))
    return [next(found) if tensor.requires_grad else None for tensor in given]


def call(source: Path, function: str, sizes: ctypes.Structure, *tensors: Tensor) -> None:
    """Call a function of a kernel with its sizes and tensors; those that are written to are contiguous."""
    tensors = [tensor.contiguous() for tensor in tensors]
    addresses = (ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors)
    getattr(library(source, tensors[-1].dtype), function)(ctypes.byref(sizes), *addresses)


def empty_like(tensor: Tensor) -> Tensor:
    """For a kernel to write to."""
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def threads(n_rows: int, rows_a_thread: int) -> int:
    """How many threads are worth it for rows of which so many keep one busy."""
    return max(1, min(torch.get_num_threads(), n_rows // rows_a_thread))
