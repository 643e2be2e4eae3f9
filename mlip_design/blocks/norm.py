"""Root-mean-square norm: v / sqrt(mean(v^2) + eps), in fewer passes over memory than autograd makes of the formula.

With y = v r and r = 1 / sqrt(mean(v^2) + eps), the derivative of a loss that has the gradient g at y is

    r (g - y mean(g y))

and it is made of differentiable operations itself, for a loss on forces. At v = 0 all is finite: r = 1 / sqrt(eps).
Where C can be compiled, a kernel makes each of these in one pass (`fused_norm`).
"""

import torch
from torch import Tensor

from mlip_design.blocks.fused import can_fuse, fused
from mlip_design.blocks.fused_norm import SOURCE, NormKernel


class RootMeanSquareNorm(torch.autograd.Function):
    """Use `rms_norm`."""

    @staticmethod
    def forward(ctx, vectors: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """y (..., n) and r (..., 1); both are outputs, so that what the derivative is made of has derivatives."""
        inverse = torch.rsqrt(vectors.square().mean(-1, keepdim=True) + eps)
        scaled = vectors * inverse
        ctx.save_for_backward(scaled, inverse)
        ctx.set_materialize_grads(False)
        return scaled, inverse

    @staticmethod
    def backward(ctx, gradient: Tensor | None, inverse_gradient: Tensor | None) -> tuple[Tensor | None, None]:
        """As above; dr / dv = -r^2 y / n."""
        scaled, inverse = ctx.saved_tensors
        total = None
        if gradient is not None:
            along = (gradient * scaled).mean(-1, keepdim=True)
            total = torch.addcmul(gradient, scaled, along, value=-1) * inverse
        if inverse_gradient is not None:
            change = scaled * (inverse_gradient * inverse**2 / -scaled.shape[-1])
            total = change if total is None else total + change
        return total, None


def rms_norm(vectors: Tensor, eps: float) -> Tensor:
    """Vectors (..., n) scaled to root mean square 1 over their last dimension; dimensionless, as eps."""
    if torch.compiler.is_compiling():  # which takes no second derivatives of a Function
        return vectors * torch.rsqrt(vectors.square().mean(-1, keepdim=True) + eps)
    if vectors.numel() and can_fuse(SOURCE, vectors):
        return fused(NormKernel(eps), lambda some: RootMeanSquareNorm.apply(some, eps)[0], vectors)
    return RootMeanSquareNorm.apply(vectors, eps)[0]
