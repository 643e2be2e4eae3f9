"""The infinitely differentiable step: flat at both ends, symmetric, and its slope is its derivative."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design.blocks.smooth_step import log_smooth_step, smooth_step, smooth_step_slope

places = st.lists(st.floats(-2, 3), min_size=1, max_size=20)


def derivatives(place: float, order: int) -> list[float]:
    """Of order 0 to `order` at one place."""
    x = torch.tensor([place], dtype=torch.float64, requires_grad=True)
    value, found = smooth_step(x), []
    for _ in range(order + 1):
        found.append(value.item())
        value = torch.autograd.grad(value, x, create_graph=True)[0]
    return found


@pytest.mark.parametrize("gap", [0.01, 1e-3, 1e-6, 0.0, -0.5])
def test_four_derivatives_vanish_at_both_ends(gap):
    for flat, place in ((0.0, gap), (1.0, 1 - gap)):
        value, *rest = derivatives(place, 4)
        assert value == pytest.approx(flat, abs=1e-12)
        assert max(map(abs, rest)) < 1e-12


def test_the_middle_is_not_flat():
    assert derivatives(0.5, 1) == [0.5, 2.0]


@given(places)
@settings(max_examples=50, deadline=None)
def test_it_rises_from_0_to_1_and_is_its_own_mirror_image(values):
    x = torch.tensor(sorted(values), dtype=torch.float64)
    step = smooth_step(x)
    assert ((step >= 0) & (step <= 1)).all() and (step.diff() >= -1e-15).all()
    assert (step + smooth_step(1 - x) - 1).abs().max() < 1e-12


@given(places)
@settings(max_examples=50, deadline=None)
def test_slope_and_logarithm_are_its_own(values):
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    step = smooth_step(x)
    slope = torch.autograd.grad(step.sum(), x)[0]
    assert (smooth_step_slope(x) - slope).abs().max() < 1e-12
    assert (log_smooth_step(x).exp() - step).abs().max() < 1e-15
