"""Every radial basis has the size it declares and is smooth at all distances."""

import pytest
import torch
from conftest import blocks_of, build_block
from hypothesis import given, settings
from hypothesis import strategies as st

bases = pytest.mark.parametrize("name", blocks_of("basis"))


def smooth(basis, distance: torch.Tensor) -> bool:
    """Whether first and second derivatives of every function agree with finite differences."""
    inputs = (distance.clone().requires_grad_(),)
    return torch.autograd.gradcheck(basis, inputs, raise_exception=False) and torch.autograd.gradgradcheck(
        basis, inputs, raise_exception=False
    )


@bases
@pytest.mark.parametrize("n_basis", [4, 9, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_declared_size_and_dtype(name, n_basis, dtype):
    basis = build_block("basis", name, n_basis=n_basis).to(dtype)
    assert basis.n_basis == n_basis
    for n_edges in (0, 1, 7):
        values = basis(torch.linspace(0.5, 6.0, n_edges, dtype=dtype))
        assert values.shape == (n_edges, n_basis)
        assert values.dtype == dtype


@bases
def test_first_and_second_derivatives(name):
    assert smooth(build_block("basis", name), torch.tensor([0.1, 0.9, 2.3, 5.7, 7.0], dtype=torch.float64))


class Kinked(torch.nn.Module):
    """Wrong on purpose: its derivative is not that of its values."""

    def forward(self, distance):
        return (distance.detach() * distance)[:, None]


def test_wrong_derivative_is_caught():
    assert not smooth(Kinked(), torch.tensor([0.9, 2.3], dtype=torch.float64))


@bases
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_with_two_derivatives_however_close_or_far(name, dtype):
    distance = torch.tensor([1e-3, 0.01, 0.05, 6.0, 60.0], dtype=dtype, requires_grad=True)
    values = build_block("basis", name).to(dtype)(distance)
    slope = torch.autograd.grad(values.sum(), distance, create_graph=True)[0]
    curvature = torch.autograd.grad(slope.sum(), distance)[0]
    assert values.isfinite().all() and slope.isfinite().all() and curvature.isfinite().all()


@bases
@given(distance=st.floats(1e-3, 10), step=st.floats(1e-9, 1e-7))
@settings(max_examples=50, deadline=None)
def test_no_jump_at_any_distance(name, distance, step):
    basis = build_block("basis", name)
    near, far = basis(torch.tensor([distance, distance + step], dtype=torch.float64))
    steepest = 16 * 16 * 10  # 1/Å, far above the slope of any function of the bases
    assert (far - near).abs().max() <= steepest * step


@bases
def test_precision_changes_nothing_but_rounding(name):
    distance = torch.linspace(0.7, 6.0, 50, dtype=torch.float64)
    exact = build_block("basis", name)(distance)
    rounded = build_block("basis", name).float()(distance.float())
    assert (exact - rounded).abs().max() < 2e-5 * exact.abs().max()


@bases
def test_functions_are_independent(name):
    values = build_block("basis", name, n_basis=8)(torch.linspace(0.3, 5.9, 400, dtype=torch.float64))
    assert torch.linalg.matrix_rank(values) == 8
