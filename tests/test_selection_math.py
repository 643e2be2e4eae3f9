"""The mathematics of selection: front, hypervolume, rules, intervals, shares of variance."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design.selection import pareto
from mlip_design.selection.rules import epsilon_constraint, knee
from mlip_design.selection.statistics import estimate, rank_correlation, share_of_variance

COORDINATES = st.integers(0, 6).map(float) | st.floats(0, 1e6, allow_subnormal=False)
POINTS = st.lists(st.tuples(COORDINATES, COORDINATES), min_size=1, max_size=12).map(np.array)


def brute_force_front(points: np.ndarray) -> list[bool]:
    """The definition, point by point."""

    def beats(a, b):
        return all(p <= q for p, q in zip(a, b, strict=True)) and any(p < q for p, q in zip(a, b, strict=True))

    return [not any(beats(other, point) for other in points) for point in points]


@settings(deadline=None)
@given(POINTS)
def test_front_is_what_nothing_beats(points):
    assert pareto.front(points).tolist() == brute_force_front(points)


def test_a_wrong_front_is_caught():
    """One that lets go of equal points, one that keeps what is beaten in one objective only."""
    points = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0], [2.0, 1.0]])
    strict = ~((points[:, None] < points[None]).all(-1)).any(0)
    weak = ~((points[:, None] <= points[None]).all(-1) & ~np.eye(4, dtype=bool)).any(0)
    expected = brute_force_front(points)
    assert pareto.front(points).tolist() == expected == [True, True, False, True]
    assert strict.tolist() != expected and weak.tolist() != expected


def test_front_of_three_objectives():
    points = np.random.default_rng(1).integers(0, 5, (40, 3)).astype(float)
    assert pareto.front(points).tolist() == brute_force_front(points)


def test_hypervolume_by_hand():
    points = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0], [2.5, 2.5], [0.5, 9.0]])
    assert pareto.hypervolume(points, np.array([4.0, 4.0])) == 3 * 1 + 2 * 1 + 1 * 1
    assert pareto.hypervolume(points, np.array([1.0, 1.0])) == 0


def test_hypervolume_is_the_area_that_random_points_find():
    rng = np.random.default_rng(2)
    points, reference = rng.uniform(0.1, 1.2, (12, 2)), np.array([1.0, 1.0])
    thrown = rng.uniform(0, 1, (200_000, 2))
    share = (points[:, None] <= thrown).all(-1).any(0).mean()
    assert pareto.hypervolume(points, reference) == pytest.approx(share, abs=5 * math.sqrt(0.25 / 200_000))


@settings(deadline=None)
@given(POINTS, st.tuples(COORDINATES, COORDINATES).map(np.array))
def test_another_point_never_makes_the_hypervolume_smaller(points, reference):
    before = pareto.hypervolume(points[1:], reference) if len(points) > 1 else 0.0
    after = pareto.hypervolume(points, reference)
    assert after >= before * (1 - 1e-12)


def test_epsilon_by_hand():
    points = np.array([[1.0, 9.0], [1.04, 5.0], [1.05, 5.0], [1.051, 1.0]])
    chosen, allowed = epsilon_constraint(points, 0.05)
    assert (chosen, allowed.tolist()) == (1, [True, True, True, False])
    assert epsilon_constraint(points, 0.0)[0] == 0
    assert epsilon_constraint(points, 0.2)[0] == 3


def test_knee_by_hand():
    """Scaled to the front, the points are (0, 1), (0.2, 0.3), (0.6, 0.2) and (1, 0); the last but one is beaten."""
    points = np.array([[1.0, 20.0], [1.2, 13.0], [1.6, 12.0], [2.0, 10.0], [1.9, 19.0]])
    chosen, distance = knee(points)
    assert (chosen, distance) == (1, pytest.approx(0.5 / math.sqrt(2)))


def test_no_knee():
    assert knee(np.array([[0.0, 1.0], [0.9, 0.9], [1.0, 0.0]])) == (None, 0.0)
    assert knee(np.array([[0.0, 1.0], [1.0, 0.0]])) == (None, 0.0)
    assert knee(np.array([[1.0, 1.0], [1.0, 1.0], [2.0, 1.0]])) == (0, 0.0)


def test_knee_does_not_depend_on_units():
    points = np.random.default_rng(3).uniform(0, 1, (30, 2))
    assert knee(points)[0] == knee(points * [1000, 0.01] + [5, 7])[0] is not None


def test_estimate_by_hand():
    """Student's 97.5 % quantile for two degrees of freedom is 4.3027."""
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.n) == (2.0, 3)
    assert found.high - 2 == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert 2 - found.low == pytest.approx(found.high - 2)
    assert estimate([1.0]).low is None


def test_intervals_hold_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(4)
    found = [estimate(row) for row in rng.normal(5, 2, (2000, 4))]
    assert np.mean([one.low < 5 < one.high for one in found]) == pytest.approx(0.95, abs=0.02)


def test_rank_correlation():
    x = np.arange(8.0)
    assert rank_correlation(np.column_stack([x, np.exp(x)])).rho == pytest.approx(1)
    assert rank_correlation(np.column_stack([x, -(x**3)])).rho == pytest.approx(-1)
    noise = rank_correlation(np.random.default_rng(5).normal(size=(30, 2)))
    assert noise.low < 0 < noise.high and noise.low < noise.rho < noise.high
    assert rank_correlation(np.ones((8, 2))) is None and rank_correlation(np.ones((3, 2)) * x[:3, None]) is None


def test_share_of_variance_by_hand():
    """Group means 1 and 5 about 3: S_between 16, within 4 x 1/4 x 4 = 4 over 4 - 2 = 2, so (16 - 2) / 20."""
    assert share_of_variance(["a", "a", "b", "b"], [0.0, 2.0, 4.0, 6.0]) == pytest.approx(0.7)
    assert share_of_variance(["a", "a", "b", "b"], [0.0, 1.0, 0.0, 1.0]) == 0
    assert share_of_variance(["a", "b", "c"], [0.0, 1.0, 2.0]) is None
    assert share_of_variance(["a", "a"], [0.0, 1.0]) is None
    assert share_of_variance(["a", "a", "b"], [1.0, 1.0, 1.0]) is None


def test_share_of_variance_of_a_choice_without_influence_is_small():
    rng = np.random.default_rng(6)
    shares = [
        share_of_variance([str(c) for c in rng.integers(4, size=20)], rng.normal(size=20)) for _ in range(300)
    ]
    assert np.mean(shares) < 0.06


def test_many_numbers_are_four_groups():
    numbers = np.geomspace(0.01, 10, 16)
    shares = share_of_variance([str(n) for n in numbers], np.repeat([1.0, 2.0, 3.0, 4.0], 4))
    assert shares == pytest.approx(1)


def test_numbers_are_grouped_beside_words():
    """Of 8 numbers and a word that 4 have, five groups: the word explains everything here."""
    choices = [*map(str, np.arange(8) / 10), *["default"] * 4]
    assert share_of_variance(choices, [1.0] * 8 + [2.0] * 4) == pytest.approx(1)
