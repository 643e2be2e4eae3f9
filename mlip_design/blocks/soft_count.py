"""Soft counts: how many values lie below each one, with weights, in memory that does not grow with their number.

K_n(a, c)_j = sum over m of c_m sigmoid^(n)(a_j - a_m)          n = 0: the count; n: its n-th derivative

Its own derivatives are sums of the same kind, since sigmoid^(n)(-u) = s sigmoid^(n)(u) with s = (-1)^(n+1) for n > 0,
and sigmoid(-u) = 1 - sigmoid(u): with a gradient g of the result,

dK/da = g K_(n+1)(a, c) + s c K_(n+1)(a, g)          dK/dc = s K_n(a, g) + (sum of g, for n = 0)

So nothing of the size of all pairs is kept for them, and they have derivatives of every order in turn. sigmoid^(n) is a
polynomial p_n of y = sigmoid(u): p_0 = y, p_(n+1) = y (1 - y) dp_n/dy. Few pairs are left to autograd, which is faster.
Where C can be compiled, a kernel counts, up to second derivatives (`fused_soft_count`).
Weights are rows, which multiply matrices of pairs from the left: from the right, as columns, they take eight times as
long.
"""

import torch
from torch import Tensor

from mlip_design.blocks.fused import can_fuse, fused
from mlip_design.blocks.fused_soft_count import SOURCE, SoftCountKernel

PAIRS_AT_ONCE = 2**21
"""Pairs compared at a time: 16 MiB of them in float64, a few times as much in memory."""


def soft_count(values: Tensor, weights: Tensor) -> Tensor:
    """The weight below each value of its row: values and weights (n_rows, n), dimensionless -> (n_rows, n)."""
    if can_fuse(SOURCE, values):
        return fused(SoftCountKernel(), counted, values, weights)
    return counted(values, weights)


def counted(values: Tensor, weights: Tensor) -> Tensor:
    """The same by torch."""
    if values.numel() * values.shape[1] <= PAIRS_AT_ONCE:
        return (torch.sigmoid(values[:, :, None] - values[:, None, :]) * weights[:, None]).sum(2)
    return SoftCount.apply(values, weights[:, None], 0).squeeze(1)


class SoftCount(torch.autograd.Function):
    """K_n of rows of values (n_rows, n) and several weights of each, (n_rows, n_weights, n)."""

    @staticmethod
    def forward(ctx, values: Tensor, weights: Tensor, order: int) -> Tensor:
        """(n_rows, n_weights, n)."""
        ctx.save_for_backward(values, weights)
        ctx.order = order
        n_rows = max(PAIRS_AT_ONCE // max(values.shape[1], 1) ** 2, 1)
        counts = torch.empty_like(weights)
        chunks = (tensor.split(n_rows) for tensor in (values, weights, counts))
        for row, weight, count in zip(*chunks, strict=True):
            torch.bmm(weight, kernel(row, order), out=count)
        return counts

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """gradient (n_rows, n_weights, n)."""
        values, weights = ctx.saved_tensors
        sign = (-1) ** (ctx.order + 1)
        both = SoftCount.apply(values, torch.cat([weights, gradient], dim=1), ctx.order + 1)
        of_weights, of_gradient = both.chunk(2, dim=1)
        of_values = (gradient * of_weights + sign * weights * of_gradient).sum(1)
        mirrored = sign * SoftCount.apply(values, gradient, ctx.order)
        return of_values, mirrored + gradient.sum(2, keepdim=True) if ctx.order == 0 else mirrored, None


def kernel(values: Tensor, order: int) -> Tensor:
    """sigmoid^(n)(a_j - a_m) at [row, m, j] for values a (n_rows, n): (n_rows, n, n), by Horner's rule, in place."""
    base = (values[:, None, :] - values[:, :, None]).sigmoid_()
    if order == 0:
        return base
    *lower, last = coefficients(order)
    result = base * last
    for coefficient in reversed(lower[1:]):
        result.add_(coefficient).mul_(base)
    return result


def coefficients(order: int) -> list[float]:
    """Of p_n, from power 0 on, which is 0."""
    found = [0.0, 1.0]
    for _ in range(order):
        raised = [power * value for power, value in enumerate(found)]
        found = [one - other for one, other in zip([*raised, 0.0], [0.0, *raised], strict=True)]
    return found
