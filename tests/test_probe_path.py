"""The probe on curves whose jumps and kinks are known: it finds each, with its height, and no other."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlip_design.bsct import probe_path
from mlip_design.bsct.probe.result import NoPredictionError

CUTOFF = 2.5
BOTH_ATOMS = 2**0.5


def pair(energy: float, force: float):
    """Energy (eV) and forces (2, 3), eV/Å, of two atoms that push each other apart along x."""
    return energy, np.array([[-force, 0.0, 0.0], [force, 0.0, 0.0]])


def lennard_jones(r: float) -> tuple[float, float, float]:
    """Energy (eV), force and its derivative for epsilon = 1 eV, sigma = 1 Å."""
    sixth = r**-6.0
    return 4 * (sixth**2 - sixth), 24 * (2 * sixth**2 - sixth) / r, -4 * (156 * sixth**2 - 42 * sixth) / r**2


ENERGY, FORCE, SLOPE = lennard_jones(CUTOFF)


def within(curve):
    """A curve of r that is zero from the cutoff on."""
    return lambda r: pair(*curve(r)) if r < CUTOFF else pair(0.0, 0.0)


def weighted(weight, slope):
    """Lennard-Jones times a weight of r / CUTOFF, whose derivative is `slope`."""

    def curve(r: float) -> tuple[float, float]:
        energy, force, _ = lennard_jones(r)
        x = r / CUTOFF
        return energy * weight(x), force * weight(x) - energy * slope(x) / CUTOFF

    return within(curve)


def bump(x: float) -> float:
    """exp(-x^2 / (1 - x^2))."""
    return np.exp(-(x**2) / (1 - x**2))


truncated = within(lambda r: lennard_jones(r)[:2])
shifted = within(lambda r: (lennard_jones(r)[0] - ENERGY, lennard_jones(r)[1]))
force_shifted = within(
    lambda r: (lennard_jones(r)[0] - ENERGY + (r - CUTOFF) * FORCE, lennard_jones(r)[1] - FORCE)
)
cosine = weighted(lambda x: (1 + np.cos(np.pi * x)) / 2, lambda x: -np.pi / 2 * np.sin(np.pi * x))
smooth = weighted(bump, lambda x: -2 * x / (1 - x**2) ** 2 * bump(x))
polynomial = weighted(
    lambda x: 1 - 28 * x**6 + 48 * x**7 - 21 * x**8, lambda x: -168 * x**5 + 336 * x**6 - 168 * x**7
)


def morse(r: float):
    """A wall of 20,000 eV/Å at 0.2 Å."""
    decay = np.exp(-4.0 * (r - 1))
    return pair(5 * (1 - decay) ** 2, -40 * decay * (1 - decay))


def narrow(r: float):
    """A Gaussian of width 0.02 Å that fits between few points of the first grid."""
    u = (r - 1.937) / 0.02
    return pair(np.exp(-(u**2) / 2), u * np.exp(-(u**2) / 2) / 0.02)


def step(r: float):
    """Continuous, but it takes no more than 1e-6 Å."""
    return pair(0.0, np.tanh((r - 1.8) / 1e-6))


def steep(jumps: dict[float, float], background: float = 100.0):
    """Forces with a background slope (eV/Å^2) and jumps (eV/Å, of the norm) by coordinate."""

    def evaluate(r: float):
        height = sum(jump for place, jump in jumps.items() if r > place) / BOTH_ATOMS
        return pair(background / 2 * (r - 1) ** 2, -background * (r - 1) + height)

    return evaluate


def test_truncated_curve_jumps_once_with_the_right_height():
    probe = probe_path(truncated, 0.9, 4.0)
    (jump,) = probe.jumps
    assert jump.coordinate == pytest.approx(CUTOFF, abs=1e-12)
    assert jump.energy_jump == pytest.approx(-ENERGY, abs=1e-9)
    assert jump.force_jump == pytest.approx(-FORCE * BOTH_ATOMS, abs=1e-9)
    assert (probe.kinks, probe.exhausted) == ((), False)


def test_shifted_curve_jumps_in_force_only():
    (jump,) = probe_path(shifted, 0.9, 4.0).jumps
    assert jump.energy_jump < 1e-12
    assert jump.force_jump == pytest.approx(-FORCE * BOTH_ATOMS, abs=1e-9)


def test_force_shifted_curve_has_a_kink_only():
    probe = probe_path(force_shifted, 0.9, 4.0)
    (kink,) = probe.kinks
    assert probe.jumps == ()
    assert kink.coordinate == pytest.approx(CUTOFF, abs=1e-7)
    assert kink.slope_jump == pytest.approx(abs(SLOPE) * BOTH_ATOMS, rel=1e-5)


def test_cosine_envelope_has_a_kink_only():
    probe = probe_path(cosine, 0.9, 4.0)
    (kink,) = probe.kinks
    assert probe.jumps == ()
    assert kink.slope_jump == pytest.approx(abs(ENERGY) * (np.pi / CUTOFF) ** 2 / 2 * BOTH_ATOMS, rel=1e-5)


@pytest.mark.parametrize("curve", [smooth, polynomial, morse, narrow, step], ids=lambda curve: curve.__name__)
def test_continuous_curves_have_nothing(curve):
    probe = probe_path(curve, 0.2 if curve is morse else 0.9, 4.0)
    assert (probe.jumps, probe.kinks, probe.exhausted) == ((), (), False)


def test_energy_may_jump_alone():
    (jump,) = probe_path(lambda r: pair(np.sin(3 * r) + 1e-4 * (r > 2.2), -3 * np.cos(3 * r)), 1.0, 3.0).jumps
    assert (jump.coordinate, jump.energy_jump) == (pytest.approx(2.2, abs=1e-12), pytest.approx(1e-4, abs=1e-11))
    assert jump.force_jump < 1e-12


@settings(max_examples=25, deadline=None)
@given(place=st.floats(1.01, 2.99), height=st.floats(-5, 1).map(lambda exponent: 10.0**exponent))
@example(place=2.0, height=1e-5)
@example(place=1.0 + 2.0 / 256, height=1e-5)
def test_a_planted_jump_is_found_wherever_it_is(place, height):
    probe = probe_path(steep({place: height}), 1.0, 3.0)
    (jump,) = probe.jumps
    assert jump.coordinate == pytest.approx(place, abs=1e-12)
    assert jump.force_jump == pytest.approx(height, abs=1e-9 + 1e-9 * height)
    assert probe.n_evaluations < 1000


@settings(max_examples=12, deadline=None)
@given(place=st.floats(1.01, 2.9), apart=st.floats(-6, -2).map(lambda exponent: 10.0**exponent))
@example(place=1.5, apart=1e-3)
def test_two_jumps_close_together_are_both_found(place, apart):
    first, second = probe_path(steep({place: 0.1, place + apart: 0.02}), 1.0, 3.0).jumps
    assert second.coordinate - first.coordinate == pytest.approx(apart, abs=1e-12)
    assert [first.force_jump, second.force_jump] == pytest.approx([0.1, 0.02], abs=1e-9)


def test_a_place_is_looked_at_more_closely_than_the_first_grid():
    def evaluate(r: float):
        return pair(0.0, 0.01 * (1.7001 < r < 1.7004))

    assert probe_path(evaluate, 1.0, 3.0).jumps == ()
    assert len(probe_path(evaluate, 1.0, 3.0, places=[1.7]).jumps) == 2
    assert len(probe_path(evaluate, 1.0, 3.0, first_step=2e-4).jumps) == 2


def test_float32_raises_the_floors_and_still_shows_the_jump():
    def evaluate(r: float):
        energy, forces = truncated(float(np.float32(r)))
        return float(np.float32(energy)), 100 * forces.astype(np.float32)

    probe = probe_path(evaluate, 0.9, 4.0)
    (jump,) = probe.jumps
    assert jump.force_jump == pytest.approx(-100 * FORCE * BOTH_ATOMS, rel=1e-4)
    assert 1e-6 < probe.force_floor < 1e-2


def test_noise_is_not_taken_for_jumps():
    random = np.random.default_rng(0)
    probe = probe_path(lambda r: pair(np.sin(r), -np.cos(r) + 1e-4 * random.normal()), 0.0, 3.0)
    assert (probe.jumps, probe.kinks) == ((), ())
    assert 1e-4 < probe.force_floor < 1e-2


def test_evaluations_are_counted_and_bounded():
    calls = []

    def evaluate(r: float):
        calls.append(r)
        return pair(0.0, np.sign(np.sin(100 * r)))

    probe = probe_path(evaluate, 1.0, 3.0, max_evaluations=2500)
    assert probe.exhausted and probe.jumps
    assert probe.n_evaluations == len(calls) <= 2500
    full = probe_path(evaluate, 1.0, 3.0)
    assert not full.exhausted
    assert len(full.jumps) == 64  # zeros of the sine from 1 to 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stop": 0.5}, "from 1.0 to 0.5"),
        ({"stop": np.inf}, "from 1.0 to inf"),
        ({"max_evaluations": 10}, "max_evaluations = 10: the first grid alone takes"),
    ],
)
def test_impossible_requests_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        probe_path(truncated, **{"start": 1.0, "stop": 3.0, **change})


def test_a_prediction_that_is_not_finite_is_named():
    with pytest.raises(NoPredictionError, match="not finite at coordinate 2"):
        probe_path(lambda r: pair(0.0, np.nan if r > 2 else 1.0), 1.0, 3.0)
