"""Force Smoothness Deviation: worked by hand, against loops, and against wrong formulas."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hand_scans import hand_forces, hand_scan, random_prediction, random_scan
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design.bsct import METRIC_KEYS, PUBLISHED_KEYS, Scan, deviation_curves, score_scan, zero_force_score

KEYS_BY_HAND = {
    "full_smoothness",
    "full_energy_mae",
    "full_forces_mae",
    "compress_smoothness",
    "compress_energy_mae",
    "compress_forces_mae",
    "stretch_smoothness",
    "stretch_energy_mae",
    "stretch_forces_mae",
}


def score_with_loops(scan: Scan, energies, forces, floor: float, wrong_centre: bool = False) -> dict[str, float]:
    """The published formula, number by number; `wrong_centre` takes F[k] where the definition says G[k]."""
    n_frames, n_atoms, _ = scan.forces.shape
    k = min(range(n_frames), key=lambda i: scan.energies[i])
    ratios = []
    for i in range(n_frames):
        model = reference = 0.0
        for atom in range(n_atoms):
            for axis in range(3):
                centre = scan.forces[k, atom, axis]
                model += (forces[i, atom, axis] - (forces[k, atom, axis] if wrong_centre else centre)) ** 2
                reference += (scan.forces[i, atom, axis] - centre) ** 2
        ratios.append(math.log(max(model, floor**2)) - math.log(max(reference, floor**2)))

    def steepest(intervals):
        values = [(ratios[i + 1] - ratios[i]) / (scan.lengths[i + 1] - scan.lengths[i]) for i in intervals]
        return max([0.0, *map(abs, values)])

    def near(i):
        return abs(scan.lengths[i] - scan.lengths[k]) <= 0.1

    score = {}
    regions = {"full": (0, n_frames - 1), "compress": (0, k), "stretch": (k, n_frames - 1)}
    for region, (first, last) in regions.items():
        energy_errors = [abs(energies[i] - scan.energies[i]) for i in range(first, last + 1)]
        force_errors = [
            abs(forces[i, atom, axis] - scan.forces[i, atom, axis])
            for i in range(first, last + 1)
            for atom in range(n_atoms)
            for axis in range(3)
        ]
        score[f"{region}_smoothness"] = steepest(range(first, last))
        score[f"{region}_energy_mae"] = sum(energy_errors) / len(energy_errors)
        score[f"{region}_forces_mae"] = sum(force_errors) / len(force_errors)
    score["windowed_smoothness"] = steepest(i for i in range(n_frames - 1) if not near(i) and not near(i + 1))
    return score


def test_worked_example():
    """Every number of a six-frame scan written out."""
    # sF = 2 (F - 0.5)^2 and sG = 2 (G - 0.5)^2: two atoms with opposite forces; sG[3] = 0 is lifted to the floor 1
    model = [2 * 9.5**2, 2 * 7.5**2, 2 * 2.0**2, 2 * 1.0**2, 2 * 4.0**2, 2 * 5.0**2]
    reference = [2 * 11.5**2, 2 * 8.5**2, 2 * 2.5**2, 1.0, 2 * 2.0**2, 2 * 4.0**2]
    ratio = [math.log(m) - math.log(r) for m, r in zip(model, reference, strict=True)]
    slopes = [
        (ratio[1] - ratio[0]) / 0.10,
        (ratio[2] - ratio[1]) / 0.15,
        (ratio[3] - ratio[2]) / 0.05,
        (ratio[4] - ratio[3]) / 0.05,
        (ratio[5] - ratio[4]) / 0.15,
    ]
    energies = np.array([6.0, 4.5, 0.75, 0.0, 0.5, 1.0])
    expected = {
        "full_smoothness": slopes[2],
        "compress_smoothness": slopes[2],
        "stretch_smoothness": slopes[3],
        "windowed_smoothness": abs(
            slopes[0]
        ),  # of the frames farther than 0.1 Å from 1.20 Å only 0, 1 are neighbours
        "full_energy_mae": (1.0 + 0.5 + 0.25 + 0 + 0 + 1.0) / 6,
        "compress_energy_mae": (1.0 + 0.5 + 0.25 + 0) / 4,
        "stretch_energy_mae": (0 + 0 + 1.0) / 3,
        "full_forces_mae": 2 * (2.0 + 1.0 + 0.5 + 1.0 + 2.0 + 1.0) / (6 * 2 * 3),
        "compress_forces_mae": 2 * (2.0 + 1.0 + 0.5 + 1.0) / (4 * 2 * 3),
        "stretch_forces_mae": 2 * (1.0 + 2.0 + 1.0) / (3 * 2 * 3),
    }
    score = score_scan(hand_scan(), energies, hand_forces())
    assert score == pytest.approx(expected, abs=1e-12)

    curves = deviation_curves(hand_scan(), hand_forces())
    np.testing.assert_allclose(curves.model, model, rtol=1e-14)
    np.testing.assert_allclose(curves.reference, [*reference[:3], 0.0, *reference[4:]], rtol=1e-14)
    np.testing.assert_allclose(curves.slope, slopes, rtol=1e-12)
    assert curves.steepest == 2


def test_keys():
    assert set(PUBLISHED_KEYS) == KEYS_BY_HAND
    assert set(METRIC_KEYS) == KEYS_BY_HAND | {"windowed_smoothness"}
    assert tuple(score_scan(hand_scan(), hand_scan().energies, hand_forces())) == METRIC_KEYS


scans = st.builds(
    random_scan,
    st.integers(0, 2**32 - 1).map(np.random.default_rng),
    n_frames=st.integers(2, 12),
    n_atoms=st.integers(1, 4),
)


@given(scan=scans, seed=st.integers(0, 2**32 - 1), floor=st.sampled_from([1e-3, 1.0, 5.0]))
@settings(max_examples=80, deadline=None)
def test_agrees_with_loops(scan, seed, floor):
    energies, forces = random_prediction(np.random.default_rng(seed), scan)
    expected = score_with_loops(scan, energies, forces, floor)
    assert score_scan(scan, energies, forces, floor=floor) == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_detects_the_wrong_centre():
    """Deviation from the model's own force at k instead of the reference's, which the checks above refuse.

    Zero forces cannot tell the two apart: their deviation is constant either way.
    """
    scan, forces = hand_scan(), hand_forces()
    wrong = score_with_loops(scan, scan.energies, forces, 1.0, wrong_centre=True)
    right = score_with_loops(scan, scan.energies, forces, 1.0)
    score = score_scan(scan, scan.energies, forces)
    for region in ("full", "compress", "stretch"):
        assert score[f"{region}_smoothness"] == pytest.approx(right[f"{region}_smoothness"], rel=1e-12)
        assert abs(score[f"{region}_smoothness"] - wrong[f"{region}_smoothness"]) > 1.0


@given(scan=scans)
@settings(max_examples=30, deadline=None)
def test_reference_scores_zero(scan):
    assert set(score_scan(scan, scan.energies, scan.forces).values()) == {0.0}


@given(scan=scans, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_rotation_and_permutation_invariance(scan, seed):
    """Smoothness and energy error; the force error is a mean over Cartesian components and keeps permutations only."""
    rng = np.random.default_rng(seed)
    energies, forces = random_prediction(rng, scan)
    score = score_scan(scan, energies, forces)

    order = rng.permutation(len(scan.numbers))
    permuted = replace(
        scan,
        numbers=scan.numbers[order],
        positions=scan.positions[:, order],
        forces=scan.forces[:, order],
        bond_index=[0, 1],
    )
    assert score_scan(permuted, energies, forces[:, order]) == pytest.approx(score, rel=1e-9, abs=1e-9)

    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotated = replace(scan, positions=scan.positions @ rotation, forces=scan.forces @ rotation)
    turned = score_scan(rotated, energies, forces @ rotation)
    invariant = [key for key in METRIC_KEYS if not key.endswith("forces_mae")]
    assert {key: turned[key] for key in invariant} == pytest.approx(
        {key: score[key] for key in invariant}, rel=1e-9, abs=1e-9
    )


def test_input_is_not_changed():
    scan, forces, energies = hand_scan(), hand_forces(), np.arange(6.0)
    score_scan(scan, energies, forces)
    np.testing.assert_array_equal(scan.forces, hand_scan().forces)
    np.testing.assert_array_equal(forces, hand_forces())
    np.testing.assert_array_equal(energies, np.arange(6.0))


@pytest.mark.parametrize("end, empty", [(0, "compress"), (5, "stretch")])
def test_equilibrium_at_an_end(end, empty):
    """One frame has no interval: that region is flat by definition, and its errors are those of the one frame."""
    energies = np.ones(6)
    energies[end] = 0.0
    scan = replace(hand_scan(), energies=energies)
    score = score_scan(scan, energies + 0.25, hand_forces())
    assert score[f"{empty}_smoothness"] == 0.0
    assert score[f"{empty}_energy_mae"] == 0.25
    other = "stretch" if empty == "compress" else "compress"
    assert score[f"{other}_smoothness"] == score["full_smoothness"] > 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e200])
def test_non_finite_forces(value):
    """Forces that are not finite, or whose square is not, never pass for a number."""
    scan, forces = hand_scan(), hand_forces()
    forces[5, 1, 2] = value
    score = score_scan(scan, scan.energies, forces)
    assert math.isnan(score["full_smoothness"])
    assert math.isnan(score["stretch_smoothness"])
    assert math.isnan(score["full_forces_mae"]) == (not np.isfinite(value))
    clean = score_scan(scan, scan.energies, hand_forces())
    for key in ("compress_smoothness", "compress_forces_mae", "full_energy_mae"):
        assert score[key] == clean[key]


def test_non_finite_energies():
    scan = hand_scan()
    score = score_scan(scan, [0.0, 0.0, 0.0, 0.0, 0.0, np.inf], scan.forces)
    assert {key for key, value in score.items() if math.isnan(value)} == {
        "full_energy_mae",
        "stretch_energy_mae",
    }


@pytest.mark.parametrize(
    "energies, forces, message",
    [
        (np.zeros(5), np.zeros((6, 2, 3)), r"C-N/1: energies have shape \(5,\), expected \(6,\)"),
        (np.zeros((6, 1)), np.zeros((6, 2, 3)), r"C-N/1: energies have shape \(6, 1\), expected \(6,\)"),
        (np.zeros(6), np.zeros((6, 2)), r"C-N/1: forces have shape \(6, 2\), expected \(6, 2, 3\)"),
        (np.zeros(6), np.zeros((2, 3)), r"C-N/1: forces have shape \(2, 3\), expected \(6, 2, 3\)"),
    ],
)
def test_wrong_shapes(energies, forces, message):
    with pytest.raises(ValueError, match=message):
        score_scan(hand_scan(), energies, forces)


@pytest.mark.parametrize("floor", [0.0, -1.0, math.nan])
def test_wrong_floor(floor):
    with pytest.raises(ValueError, match=r"floor is .* expected a positive force"):
        score_scan(hand_scan(), np.zeros(6), hand_forces(), floor=floor)


def test_zero_force_score():
    scan = hand_scan()
    score = score_scan(scan, scan.energies, np.zeros_like(scan.forces))
    baseline = zero_force_score(scan)
    assert baseline == {f"zero_{key}": score[key] for key in METRIC_KEYS if not key.endswith("energy_mae")}
    # a constant model deviation leaves the slope of -ln sG: from 2 * 2.5^2 to the floor within 0.05 Å
    assert baseline["zero_full_smoothness"] == pytest.approx(math.log(2 * 2.5**2) / 0.05, rel=1e-12)
