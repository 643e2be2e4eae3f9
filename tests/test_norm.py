"""The root-mean-square norm: its value, and its derivatives to second order, also where a vector vanishes."""

import pytest
import torch

from mlip_design.blocks import norm
from mlip_design.blocks.norm import RootMeanSquareNorm, rms_norm

EPS = 1e-3


@pytest.fixture(params=["kernel", "torch"], autouse=True)
def way(request, monkeypatch) -> None:
    """With the kernel and without."""
    if request.param == "torch":
        monkeypatch.setattr(norm, "can_fuse", lambda *_: False)


@pytest.fixture
def vectors() -> torch.Tensor:
    """(4, 3, 5), one of them zero."""
    values = torch.randn(4, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values[1, 2] = 0
    return values.requires_grad_(True)


def test_values_are_those_of_the_formula(vectors):
    expected = vectors / torch.sqrt((vectors**2).mean(-1, keepdim=True) + EPS)
    torch.testing.assert_close(rms_norm(vectors, EPS), expected, rtol=1e-14, atol=1e-14)


def test_derivatives_agree_with_finite_differences_to_second_order(vectors):
    assert torch.autograd.gradcheck(lambda x: rms_norm(x, EPS), vectors)
    assert torch.autograd.gradgradcheck(lambda x: rms_norm(x, EPS), vectors)


def test_a_derivative_that_forgets_the_length_is_found_out(vectors):
    class Forgetful(RootMeanSquareNorm):
        @staticmethod
        def backward(ctx, gradient, inverse_gradient):
            return gradient * ctx.saved_tensors[1], None

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(lambda x: Forgetful.apply(x, EPS)[0], vectors)
