"""What is measured beside the score, against scans made so that the answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design.bsct import Scan, score_scan
from mlip_design.bsct.measure import DEPTH, KEYS, aligned_energy_mae, closure, measure, minima
from mlip_design.bsct.predict import Predicted
from mlip_design.bsct.sensitivity import sensitivity
from mlip_design.bsct.statistics import intervals, statistics
from mlip_design.bsct.summary import summarize, warnings_of

LENGTHS = np.linspace(0.8, 2.8, 101)


def morse_scan(system_id: str = "1", depth: float = 4.0) -> Scan:
    """Two atoms with a Morse potential (eV, Å), both moved by half of the change of length."""
    decay = np.exp(-2.0 * (LENGTHS - 1.3))
    positions = np.zeros((len(LENGTHS), 2, 3))
    positions[:, 0, 0], positions[:, 1, 0] = -LENGTHS / 2, LENGTHS / 2
    pull = 2 * depth * (1 - decay) * 2.0 * decay
    return Scan(
        "C-N", system_id, [6, 7], LENGTHS, positions, depth * (1 - decay) ** 2, along_bond(pull), np.array([0, 1])
    )


def along_bond(pull: np.ndarray) -> np.ndarray:
    """Forces of two atoms on the x axis drawn together by pull (n_frames,), eV/Å."""
    forces = np.zeros((len(pull), 2, 3))
    forces[:, 0, 0], forces[:, 1, 0] = pull, -pull
    return forces


def predicted(energies: np.ndarray, forces: np.ndarray) -> Predicted:
    return Predicted(energies, forces, {})


def test_conservative_forces_close():
    scan = morse_scan()
    assert closure(scan, scan.energies, scan.forces) < 2e-4


@pytest.mark.parametrize("share", [0.9, 1.2])
def test_scaled_forces_do_not_close(share):
    """Their work is the share of the energy; what is missing is largest at the compressed end."""
    scan = morse_scan()
    expected = abs(1 - share) * np.ptp(scan.energies)
    assert closure(scan, scan.energies, share * scan.forces) == pytest.approx(expected, abs=3e-4)


def test_a_jump_of_the_energy_does_not_close():
    scan = morse_scan()
    energies = scan.energies + np.where(LENGTHS > 2.0, 0.05, 0.0)
    assert closure(scan, energies, scan.forces) == pytest.approx(0.05, abs=3e-4)


def test_closure_does_not_depend_on_the_offset_or_on_forces_across_the_path():
    scan = morse_scan()
    forces = scan.forces.copy()
    forces[:, :, 1] = np.sin(40 * LENGTHS)[:, None]
    exact = closure(scan, scan.energies, scan.forces)
    assert closure(scan, scan.energies + 1e4, forces) == pytest.approx(exact, abs=1e-10)


@given(depth=st.floats(0.2, 0.5), place=st.floats(2.4, 2.7))
@settings(max_examples=40, deadline=None)
def test_a_planted_minimum_is_found(depth, place):
    """A narrow well on the outer wall: one artificial minimum, where it was planted, at most as deep."""
    scan = morse_scan()
    well = depth * np.exp(-(((LENGTHS - place) / 0.02) ** 2) / 2)
    entry = measure(scan, predicted(scan.energies - well, scan.forces))["minima"]
    (artificial,) = entry["artificial"]
    assert 0.3 * depth < artificial <= depth
    assert min(abs(np.array(entry["lengths"]) - place)) < 0.03
    assert len(entry["lengths"]) == 2 and len(entry["reference_lengths"]) == 1


def test_shallow_ripples_are_no_minima():
    lengths, depths = minima(LENGTHS, (LENGTHS - 1.8) ** 2 + 0.3 * DEPTH * np.sin(60 * LENGTHS))
    assert len(lengths) == len(depths) == 1


def test_a_model_without_the_well_has_no_negative_count():
    scan = morse_scan()
    entry = measure(scan, predicted(-LENGTHS, scan.forces))["minima"]
    assert entry["lengths"] == entry["artificial"] == []


def test_aligned_energy_error():
    scan = morse_scan()
    errors = np.where(LENGTHS > 2.0, 0.3, 0.0)
    expected = 0.3 * np.mean(LENGTHS > 2.0)
    assert aligned_energy_mae(scan, scan.energies + errors - 777.0) == pytest.approx(expected, rel=1e-9)


def test_the_reference_is_perfect():
    scan = morse_scan()
    entry = measure(scan, predicted(scan.energies, scan.forces))
    assert {entry[key] for key in KEYS} == {0.0}
    assert entry["failure"] is None and entry["minima"]["artificial"] == []


def test_steepest_is_where_the_score_comes_from():
    """A jump of the forces between two frames far from equilibrium."""
    scan = morse_scan()
    forces = scan.forces * np.where(LENGTHS > 2.31, 1e3, 1.0)[:, None, None]
    entry = measure(scan, predicted(scan.energies, forces))
    assert entry["steepest"] == pytest.approx(2.31, abs=1e-9)
    assert entry["full_smoothness"] == score_scan(scan, scan.energies, forces)["full_smoothness"]


def entries(count: int, seed: int = 0) -> dict[str, dict]:
    """Systems whose force errors differ."""
    rng = np.random.default_rng(seed)
    found = {}
    for place in range(count):
        scan = morse_scan(str(place), depth=rng.uniform(2, 5))
        forces = scan.forces + along_bond(rng.normal(0, 0.3) * np.sin(5 * LENGTHS))
        found[scan.name] = measure(scan, predicted(scan.energies, forces))
    return found


def test_intervals_cover_the_mean():
    """Of 200 samples of 40 values about 95 % hold the true mean; the binomial spread is 1.5 %."""
    rng = np.random.default_rng(1)
    found = intervals(rng.exponential(size=(40, 200)))
    share = np.mean((found[:, 0] <= 1) & (found[:, 1] >= 1))
    assert 0.87 < share < 0.985


def test_intervals_are_the_same_every_time():
    systems = list(entries(6).values())
    assert statistics(systems) == statistics(systems)


def test_share_next_to_equilibrium():
    systems = entries(6)
    near = [abs(system["steepest"] - system["equilibrium"]) <= 0.1 for system in systems.values()]
    assert summarize(systems)["near_equilibrium"][1] == {
        "within": 0.1,
        "share": np.mean(near),
        "zero_share": 1.0,
    }


@pytest.mark.parametrize("scale, warned", [(1.0, False), (-1.0, True)])
def test_warning_of_a_model_no_better_than_zero_forces(scale, warned):
    scan = morse_scan()
    entry = measure(scan, predicted(scan.energies, scale * scan.forces * 0.999))
    facts = summarize({scan.name: entry}) | {"data": {"left_out": {}}}
    assert any("no better than zero forces: full_forces_mae" in line for line in warnings_of(facts)) == warned


def test_sensitivity():
    """The row of the published choice is the published mean; the floor of a tenth changes what lies below it."""
    scan = morse_scan()
    forces = scan.forces + along_bond(0.4 * np.sin(5 * LENGTHS))
    rows = {(row["floor"], row["every"]): row for row in sensitivity([(scan, (scan.energies, forces))])}
    score = score_scan(scan, scan.energies, forces)
    assert rows[1.0, 1]["full_smoothness"] == score["full_smoothness"]
    assert rows[0.1, 1]["full_smoothness"] > 1.5 * score["full_smoothness"]
    assert rows[3.0, 1]["zero_full_smoothness"] < rows[1.0, 1]["zero_full_smoothness"]
    thinned = scan.frames(slice(scan.equilibrium % 2, None, 2))
    assert thinned.lengths[thinned.equilibrium] == scan.lengths[scan.equilibrium]
    half = score_scan(thinned, thinned.energies, forces[scan.equilibrium % 2 :: 2])
    assert rows[1.0, 2]["full_smoothness"] == half["full_smoothness"]


def test_sensitivity_of_the_shortest_scan():
    scan = morse_scan().frames(slice(0, 2))
    assert sensitivity([(scan, scan.labels)])[-1]["full_smoothness"] is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_has_no_number(value):
    scan = morse_scan()
    energies, forces = scan.energies.copy(), scan.forces.copy()
    energies[3] = forces[5, 0, 1] = value
    entry = measure(scan, predicted(energies, forces))
    assert entry["failure"] == "2 of 101 frames, the first is frame 3: energy or forces are not finite"
    for key in ("full_smoothness", "full_energy_mae", "aligned_energy_mae", "closure", "steepest"):
        assert not np.isfinite(entry[key])
    assert np.isfinite([entry["stretch_smoothness"], entry["zero_full_smoothness"]]).all()
