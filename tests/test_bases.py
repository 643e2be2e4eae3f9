"""Every radial basis has the size it declares and is smooth up to the cutoff; what single ones promise besides."""

import numpy as np
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
    assert smooth(build_block("basis", name), torch.tensor([0.1, 0.9, 2.3, 5.7, 6.0], dtype=torch.float64))


class Kinked(torch.nn.Module):
    """Wrong on purpose: its derivative is not that of its values."""

    def forward(self, distance):
        return (distance.detach() * distance)[:, None]


def test_wrong_derivative_is_caught():
    assert not smooth(Kinked(), torch.tensor([0.9, 2.3], dtype=torch.float64))


@bases
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_with_two_derivatives_however_close(name, dtype):
    distance = torch.tensor([1e-3, 0.01, 0.05, 1.7, 6.0], dtype=dtype, requires_grad=True)
    values = build_block("basis", name).to(dtype)(distance)
    slope = torch.autograd.grad(values.sum(), distance, create_graph=True)[0]
    curvature = torch.autograd.grad(slope.sum(), distance)[0]
    assert values.isfinite().all() and slope.isfinite().all() and curvature.isfinite().all()


@bases
@given(distance=st.floats(1e-3, 6), step=st.floats(1e-9, 1e-7))
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


# Formulas

DISTANCES = torch.linspace(0.05, 6.0, 200, dtype=torch.float64)


def test_chebyshev_are_the_polynomials():
    values = build_block("basis", "chebyshev", n_basis=13)(DISTANCES)
    expected = np.polynomial.chebyshev.chebvander(DISTANCES.numpy() / 3 - 1, 12)
    assert np.abs(values.numpy() - expected).max() < 1e-13


def test_bernstein_are_positive_and_add_up_to_one():
    values = build_block("basis", "bernstein", n_basis=9, decay=1.5)(DISTANCES)
    assert (values > 0).all()
    assert (values.sum(1) - 1).abs().max() < 1e-6  # binomials in single precision, as all constants are made
    peaks = DISTANCES[values.argmax(0)[1:8]]
    assert (peaks - 1.5 * torch.log(8 / torch.arange(1.0, 8))).abs().max() < 0.03


def test_expnormal_peaks_narrow_where_atoms_are_close():
    distances = torch.linspace(0, 6, 20001, dtype=torch.float64)
    values = build_block("basis", "expnormal", n_basis=12, decay=2.0)(distances)
    heights, peaks = values.max(0)
    widths = (values > 0.5).sum(0)[1:-1]
    assert (heights - 1).abs().max() < 1e-6
    assert (widths.diff() < 0).all() and (peaks.diff() < 0).all()
    expected = torch.linspace(np.exp(-3.0), 1, 12, dtype=torch.float64)
    assert (torch.exp(-distances[peaks] / 2) - expected).abs().max() < 2e-4


@pytest.mark.parametrize("name", ["gaussian", "smooth_finite", "fourier", "bessel"])
@pytest.mark.parametrize("e3nn_cutoff", [False, True])
def test_bases_of_e3nn_are_smooth_or_refused(name, e3nn_cutoff):
    if e3nn_cutoff and name in ("fourier", "bessel"):
        with pytest.raises(Exception, match=f"basis = '{name}' with e3nn_cutoff = True is unknown or has kinks"):
            build_block("basis", "e3nn_one_hot", basis=name, e3nn_cutoff=True)
    else:
        basis = build_block("basis", "e3nn_one_hot", n_basis=6, basis=name, e3nn_cutoff=e3nn_cutoff)
        centres = torch.linspace(0.0, 6.0, 6 + 2 * e3nn_cutoff, dtype=torch.float64)
        edges = (centres[1:] - 1e-9, centres[1:-1] + 1e-9, centres[1:])
        assert smooth(basis, torch.cat(edges))
        assert largest_change_of_slope(basis, torch.cat([centres[1:-1], torch.tensor([6.0])])) < 1e-6


@pytest.mark.parametrize("name", ["cosine", "gauss"])
def test_bases_of_e3nn_that_have_kinks_are_refused(name):
    with pytest.raises(Exception, match=f"basis = '{name}' .* has kinks; smooth ones"):
        build_block("basis", "e3nn_one_hot", basis=name)


def largest_change_of_slope(basis, places: torch.Tensor) -> float:
    """Of any function across 2e-9 Å around places (Å), 1/Å; a kink keeps it."""
    distance = torch.cat([places - 1e-9, places + 1e-9]).requires_grad_()
    values = basis(distance)
    slopes = torch.stack(
        [torch.autograd.grad(column.sum(), distance, retain_graph=True)[0] for column in values.T]
    )
    below, above = slopes.unflatten(1, (2, -1)).unbind(1)
    return (above - below).abs().max().item()


def test_a_kink_of_e3nn_is_what_is_refused():
    """Wrong on purpose: e3nn's own cosines and its cut of the Fourier basis."""
    from e3nn.math import soft_one_hot_linspace

    def of(name: str, cutoff: bool):
        return lambda distance: soft_one_hot_linspace(distance, 0.0, 6.0, 6, basis=name, cutoff=cutoff)

    centres = torch.linspace(0.0, 6.0, 6, dtype=torch.float64)[1:]
    assert largest_change_of_slope(of("cosine", False), centres) > 0.1
    assert largest_change_of_slope(of("fourier", True), centres[-1:]) > 0.1


def test_frequencies_of_bessel_can_be_trained():
    fixed, trained = (build_block("basis", "bessel", trainable=flag) for flag in (False, True))
    assert torch.equal(fixed(DISTANCES), trained(DISTANCES))
    assert not list(fixed.parameters())
    trained(DISTANCES).square().sum().backward()
    assert (trained.order.grad.abs() > 0).all()
