"""Force Smoothness Deviation: worked by hand, against loops, on real scans, and against wrong formulas."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design.bsct import (
    METRIC_KEYS,
    PUBLISHED_KEYS,
    Scan,
    aggregate,
    deviation_curves,
    load_scans,
    score_scan,
    zero_force_score,
)

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


def hand_scan() -> Scan:
    """Two atoms, six frames, equilibrium at frame 3; all force components but x are zero."""
    lengths = np.array([0.90, 1.00, 1.15, 1.20, 1.25, 1.40])
    along_x = np.array([12.0, 9.0, 3.0, 0.5, -1.5, -3.5])
    forces = np.zeros((6, 2, 3))
    forces[:, 0, 0], forces[:, 1, 0] = -along_x, along_x
    positions = np.zeros((6, 2, 3))
    positions[:, 1, 0] = lengths
    return Scan("C-N", "1", [6, 7], lengths, positions, [7.0, 4.0, 1.0, 0.0, 0.5, 2.0], forces, [0, 1])


def hand_forces() -> np.ndarray:
    """Model forces for `hand_scan`."""
    along_x = np.array([10.0, 8.0, 2.5, 1.5, -3.5, -4.5])
    forces = np.zeros((6, 2, 3))
    forces[:, 0, 0], forces[:, 1, 0] = -along_x, along_x
    return forces


def random_scan(rng: np.random.Generator, n_frames: int, n_atoms: int) -> Scan:
    """A scan without physics: every number random, lengths increasing."""
    return Scan(
        bond="C-C",
        system_id="random",
        numbers=rng.integers(1, 18, n_atoms),
        lengths=0.7 + np.cumsum(rng.uniform(0.02, 0.12, n_frames)),
        positions=rng.normal(size=(n_frames, n_atoms, 3)),
        energies=rng.normal(size=n_frames),
        forces=3 * rng.normal(size=(n_frames, n_atoms, 3)),
        bond_index=[0, 1],
    )


def random_prediction(rng: np.random.Generator, scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    return (
        scan.energies + rng.normal(size=scan.energies.shape),
        scan.forces + rng.normal(size=scan.forces.shape),
    )


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
    assert score_scan(scan, energies, forces, floor) == pytest.approx(expected, rel=1e-10, abs=1e-10)


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


def test_aggregate():
    scores = {f"C-C/{i}": {"x": float(i)} for i in range(5)} | {"C-N/7": {"x": 32.0}}
    summary = aggregate(scores, {name: name.split("/")[0] for name in scores})
    assert summary.count == 6
    assert summary.nonfinite == ()
    assert summary.mean == {"x": (0 + 1 + 2 + 3 + 4 + 32) / 6}  # every system the same, not every bond type
    assert summary.median == {"x": 2.5}
    assert summary.percentile_95 == pytest.approx({"x": 4 + 0.75 * (32 - 4)})  # rank 0.95 * 5 = 4.75
    assert summary.bond_mean == {"C-C": {"x": 2.0}, "C-N": {"x": 32.0}}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_aggregate_never_hides_a_failure(value):
    scores = {"C-C/1": {"x": 1.0, "y": 1.0}, "C-N/2": {"x": value, "y": 3.0}}
    summary = aggregate(scores, {"C-C/1": "C-C", "C-N/2": "C-N"})
    assert summary.nonfinite == ("C-N/2",)
    for statistic in (summary.mean, summary.median, summary.percentile_95, summary.bond_mean["C-N"]):
        assert math.isnan(statistic["x"])
    assert summary.mean["y"] == 2.0
    assert summary.bond_mean["C-C"] == {"x": 1.0, "y": 1.0}


@pytest.mark.parametrize(
    "scores, bonds, message",
    [
        ({}, {}, "no score"),
        (
            {"a": {"x": 1.0}, "b": {"y": 1.0}},
            {"a": "C-C", "b": "C-C"},
            r"b: keys \['y'\] differ from \['x'\]",
        ),
        ({"a": {"x": 1.0}}, {}, "a: has a score but no bond type"),
    ],
)
def test_aggregate_bad_input(scores, bonds, message):
    with pytest.raises(ValueError, match=message):
        aggregate(scores, bonds)


@pytest.fixture(scope="module")
def real_scans() -> list[Scan]:
    folder = os.environ.get("MLIP_DESIGN_DATA")
    if not folder or not (Path(folder) / "bsct_spice").is_dir():
        pytest.skip("MLIP_DESIGN_DATA names no folder that contains bsct_spice/")
    return load_scans(Path(folder) / "bsct_spice", limit=27)


def test_zero_forces_on_real_scans(real_scans):
    """All 243 systems give 52.86, 52.86, 34.89 and 22.62 1/Å; the 27 taken evenly over bond types give these."""
    summary = aggregate(
        {scan.name: zero_force_score(scan) for scan in real_scans},
        {scan.name: scan.bond for scan in real_scans},
    )
    assert summary.count == 27
    assert len(summary.bond_mean) == 9
    means = [summary.mean[f"zero_{key}_smoothness"] for key in ("full", "compress", "stretch", "windowed")]
    assert means == pytest.approx([54.517, 54.517, 36.241, 22.801], abs=1e-3)


def test_real_scans_tell_wrong_centre(real_scans):
    """Forces of the right shape and nine tenths of the size: the two centres differ on every scan."""
    for scan in real_scans[:3]:
        zeros = np.zeros_like(scan.forces)
        right = score_with_loops(scan, scan.energies, zeros, 1.0)
        assert score_scan(scan, scan.energies, zeros) == pytest.approx(right, rel=1e-9)
        wrong = score_with_loops(scan, scan.energies, 0.9 * scan.forces, 1.0, wrong_centre=True)
        score = score_scan(scan, scan.energies, 0.9 * scan.forces)
        assert abs(score["full_smoothness"] - wrong["full_smoothness"]) > 1e-3
