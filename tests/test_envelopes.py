"""Every envelope falls from 1 to 0 and is as smooth at the cutoff as it promises."""

import math
import shutil
import sys

import pytest
import torch
from conftest import BASE_MODEL, CONF, blocks_of, build, build_block, ethanol, numerical_forces, predict
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

ORDERS_TRIED = 4
"""A promise of infinitely many vanishing derivatives is tried up to this one."""

ROUNDING = 2e-15

envelopes = pytest.mark.parametrize("name", blocks_of("envelope"))


def derivatives_near_cutoff(envelope: nn.Module, order: int, gap: float) -> list[float]:
    """|d^m w / dx^m| at x = 1 - gap for m = 0 .. order, by repeated differentiation."""
    x = torch.tensor([1 - gap], dtype=torch.float64, requires_grad=True)
    value = envelope(x)[0]
    found = [abs(value.item())]
    for _ in range(order):
        if not value.requires_grad:
            found.append(0.0)
            continue
        gradient = torch.autograd.grad(value, x, create_graph=True, allow_unused=True)[0]
        value = torch.zeros_like(x) if gradient is None else gradient
        found.append(abs(value.item()))
    return found


def keeps_promise(envelope: nn.Module) -> bool:
    """Whether exactly the promised derivatives tend to 0 as x -> 1: those shrink with the gap, the next does not."""
    promised = envelope.continuity_order
    order = ORDERS_TRIED if math.isinf(promised) else promised + 1
    wide, narrow, narrowest = (derivatives_near_cutoff(envelope, order, gap) for gap in (1e-2, 1e-3, 1e-4))
    vanishes = [c <= 0.2 * b <= 0.04 * a for a, b, c in zip(wide, narrow, narrowest, strict=True)]
    return all(vanishes) if math.isinf(promised) else vanishes == [True] * order + [False]


@envelopes
def test_promised_continuity_is_exact(name):
    assert keeps_promise(build_block("envelope", name))


class Claims(nn.Module):
    """Wrong on purpose: (1 - x)^power with a continuity order that may be untrue."""

    def __init__(self, power: int, continuity_order: float):
        super().__init__()
        self.power = power
        self.continuity_order = continuity_order

    def forward(self, reduced):
        return (1 - reduced) ** self.power, self.power * torch.log1p(-reduced)


@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize("claim", [-1, 0, 1, 2, 3, math.inf])
def test_untrue_promise_is_caught(power, claim):
    assert keeps_promise(Claims(power, claim)) == (claim == power - 1)


@envelopes
@given(x=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_weight_falls_monotonically_within_0_and_1(name, x):
    weight, log_weight = build_block("envelope", name)(torch.tensor(sorted(x), dtype=torch.float64))
    assert ((weight >= 0) & (weight <= 1 + ROUNDING)).all()
    assert (weight.diff() <= ROUNDING).all()
    assert log_weight.isfinite().all()


@envelopes
def test_weight_is_one_at_zero(name):
    weight, log_weight = build_block("envelope", name)(torch.zeros(1, dtype=torch.float64))
    assert weight.item() == pytest.approx(1, abs=1e-15)
    assert log_weight.item() == pytest.approx(0, abs=1e-15)


@envelopes
def test_log_weight_is_the_logarithm(name):
    x = torch.linspace(0, 1 - 1e-3, 2001, dtype=torch.float64)
    weight, log_weight = build_block("envelope", name)(x)
    assert (log_weight - weight.log()).abs().div(1 + log_weight.abs()).max() < 1e-12


@envelopes
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_with_two_derivatives_to_the_last_number_below_the_cutoff(name, dtype):
    one = torch.ones((), dtype=dtype)
    below = [torch.nextafter(one, 0 * one), 1 - 1e-5, 1 - 1e-3, 0.5, 0.0]
    x = torch.tensor([float(value) for value in below], dtype=dtype, requires_grad=True)
    weight, log_weight = build_block("envelope", name).to(dtype)(x)
    assert weight.dtype == log_weight.dtype == dtype
    assert weight.isfinite().all() and log_weight.isfinite().all()
    if weight.requires_grad:
        slope = torch.autograd.grad(weight.sum(), x, create_graph=True)[0]
        curvature = torch.autograd.grad(slope.sum(), x, allow_unused=True)[0]
        assert slope.isfinite().all() and curvature.isfinite().all()


@pytest.mark.parametrize("p", [1, 2.5, -3])
def test_polynomial_refuses_a_wrong_exponent(p):
    with pytest.raises(Exception, match=f"p = {p} must be an integer of at least 2"):
        build_block("envelope", "polynomial", p=p)


NEWCOMER = """
from torch import nn

class Newcomer(nn.Module):
    continuity_order = 3

    def __init__(self, power):
        super().__init__()
        self.power = power

    def forward(self, reduced):
        return (1 - reduced) ** self.power, self.power * (1 - reduced).log()
"""


def test_newcomer_needs_one_python_file_and_one_yaml(tmp_path, monkeypatch):
    conf = shutil.copytree(CONF, tmp_path / "conf")
    (tmp_path / "newcomer.py").write_text(NEWCOMER)
    (conf / "model/envelope/newcomer.yaml").write_text("_target_: newcomer.Newcomer\npower: 4\n")
    monkeypatch.syspath_prepend(tmp_path)
    potential = build(f"model={BASE_MODEL}", "model/envelope=newcomer", conf=conf)
    sys.modules.pop("newcomer")
    assert keeps_promise(potential.envelope)
    error = numerical_forces(potential, ethanol()) - predict(potential, ethanol()).forces.numpy()
    assert abs(error).max() < 1e-6
