"""Scored models side by side: paired intervals that hold the truth, scans that are the same, bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
import volume_scans
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design.bsct.compare import USUAL_KEYS, compare
from mlip_design.bsct.paired import paired
from mlip_design.cli import main

UNITS = {"smoothness": "1/Å", "forces_mae": "eV/Å", "energy_mae": "eV"}
N_SYSTEMS = 40


def system(number: int, **changes) -> dict:
    """An entry of "systems"; what depends on the scan alone differs from system to system."""
    scan = {"bond": "C-N", "atoms": 5 + number, "frames": 100, "equilibrium": 1.4, "reference_closure": 0.001}
    zero = {f"zero_{key}": 50.0 + number for key in USUAL_KEYS if not key.endswith("energy_mae")}
    return {**scan, **zero, **dict.fromkeys(USUAL_KEYS, 30.0 + number), "failure": None, **changes}


def write_result(folder: Path, systems: dict[str, dict], name: str = "model") -> Path:
    """A result of `mlip-design bsct`, as far as it is compared."""
    keys = {key: {"unit": next(u for end, u in UNITS.items() if key.endswith(end))} for key in USUAL_KEYS}
    facts = {"schema": 1, "model": {"name": name, "arguments": ["a=1"]}, "keys": keys, "systems": systems}
    facts["count"] = sum(one["failure"] is None for one in systems.values())
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(facts))
    return folder


def results_of(folder: Path, *models: np.ndarray) -> list[str]:
    """Results with given full FSD, models times (n_systems,)."""
    return [
        str(
            write_result(
                folder / f"m{place}",
                {f"C-N/{i}": system(i, full_smoothness=value) for i, value in enumerate(values)},
                f"m{place}",
            )
        )
        for place, values in enumerate(models)
    ]


def drawn(seed: int, shift: float, n: int = N_SYSTEMS) -> np.ndarray:
    """Two models (2, n): hard systems are hard for both; the second has `shift` more on average."""
    random = np.random.default_rng(seed)
    first = random.gamma(4.0, 10.0, n)
    return np.array([first, first + shift + random.normal(0.0, 6.0, n)])


def test_intervals_hold_the_true_difference_as_often_as_they_say():
    found = [paired(drawn(seed, 2.0)).differences[0] for seed in range(150)]
    assert 0.90 < np.mean([one.low < 2.0 < one.high for one in found]) < 0.98
    assert np.mean([one.low < 3.5 < one.high for one in found]) < 0.80, "a wrong one"


def test_equal_models_are_rarely_told_apart():
    def told_apart(shift: float) -> float:
        return np.mean([paired(drawn(seed, shift)).differences[0].verdict != "unclear" for seed in range(50)])

    assert told_apart(0.0) < 0.15 and told_apart(4.0) > 0.9


def test_systems_are_drawn_for_both_models_at_once():
    """Drawn apart, the intervals would be as wide as the spread over systems makes them."""
    values = drawn(1, 2.0)
    found = paired(values)
    spread = (values[1] - values[0]).std() / np.sqrt(N_SYSTEMS)
    assert found.differences[0].high - found.differences[0].low == pytest.approx(2 * 1.96 * spread, rel=0.1)
    apart = np.hypot(*((one.high - one.low) for one in found.means))
    assert apart > 3 * (found.differences[0].high - found.differences[0].low)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.1, 1.0, 100.0]))
def test_what_holds_of_every_comparison(seed, scale):
    values = np.vstack([drawn(seed, 1.0, 12), drawn(seed + 1, 0.0, 12)])
    found, scaled = paired(values), paired(scale * values)
    share = np.array(found.certainty)
    np.testing.assert_allclose(share + share.T, 1.0)
    np.testing.assert_allclose(share, scaled.certainty, atol=1e-3)
    for place, one in enumerate(found.differences, start=1):
        assert one.mean == pytest.approx(values[place].mean() - values[0].mean())
        assert one.lower + one.equal + one.higher == 12
        assert one.lower == (values[place] < values[0]).sum()
        assert one.low <= one.mean <= one.high
        assert (one.verdict == "lower") == (one.high < 0)
        if one.verdict != "unclear":
            assert share[place, 0] > 0.97 if one.verdict == "lower" else share[place, 0] < 0.03


def test_swapped_models_swap_the_answer():
    values = drawn(3, 4.0)
    there, back = paired(values).differences[0], paired(values[::-1]).differences[0]
    assert there.verdict == "higher" and back.verdict == "lower"
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))
    assert (there.lower, there.higher, there.sign_p) == (back.higher, back.lower, back.sign_p)


def test_sign_test_by_hand():
    """Nine of ten lower: 2 (1 + 10) / 2^10; an equal system does not count."""
    contrast = np.array([-1.0] * 9 + [1.0, 0.0])
    (found,) = paired(np.array([np.zeros(11), contrast])).differences
    assert (found.lower, found.equal, found.higher) == (9, 1, 1)
    assert found.sign_p == pytest.approx(22 / 1024)


def test_a_planted_difference_is_found(tmp_path, capsys):
    results = results_of(tmp_path, *drawn(5, -8.0), drawn(5, 0.0)[0])
    assert main(["compare", *results, "--json", str(tmp_path / "c.json"), "--keys", "full_smoothness"]) == 0
    printed = capsys.readouterr().out
    assert "3 models on 40 systems" in printed and "share of resamplings" in printed
    found = json.loads((tmp_path / "c.json").read_text())["keys"]["full_smoothness"]
    better, same = found["differences"]
    assert better["verdict"] == "lower" and better["low"] < -8.0 < better["high"]
    assert found["certainty"][1][0] == found["certainty"][1][2] == 1.0
    assert (same["verdict"], same["mean"], same["low"], same["high"]) == ("unclear", 0.0, 0.0, 0.0)
    assert (same["equal"], same["sign_p"], found["certainty"][2][0]) == (40, 1.0, 0.5)
    assert found["zero"] == pytest.approx(50.0 + 19.5)
    words = [row.split()[-1] for row in printed.splitlines() if "full_smoothness" in row or row.startswith("   ")]
    assert [word for word in words if word in ("lower", "higher", "unclear")] == ["lower", "unclear"]


def test_energies_have_no_zero_forces(tmp_path):
    found = compare(results_of(tmp_path, *drawn(1, 0.0)), ["aligned_energy_mae"])
    assert found.keys["aligned_energy_mae"].zero is None and found.keys["aligned_energy_mae"].unit == "eV"


def test_only_systems_that_all_have_are_compared(tmp_path, capsys):
    full = {f"C-N/{i}": system(i) for i in range(5)}
    some = {name: one for name, one in full.items() if name != "C-N/4"}
    some["C-N/1"] = system(1, failure="3 of 100 frames", full_smoothness=None)
    results = [str(write_result(tmp_path / "a", full)), str(write_result(tmp_path / "b", some))]
    found = compare(results)
    assert found.systems == ["C-N/0", "C-N/2", "C-N/3"]
    reasons = {"C-N/1": "no usable prediction of model 2", "C-N/4": "not scored with model 2"}
    assert found.not_compared == reasons
    assert found.notes == ["few systems (3): the intervals are too narrow"]
    assert found.models == [f"model a=1 ({place})" for place in results]
    assert main(["compare", *results]) == 0
    printed = capsys.readouterr().out
    assert all(f"{name}: {why}" in printed for name, why in reasons.items()) and found.notes[0] in printed


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"frames": 50}, "C-N/1 has frames 50 instead of 100 (1 of 3 systems differ)"),
        ({"zero_full_smoothness": 51.0001}, "C-N/1 has zero_full_smoothness 51.0001 instead of 51.0"),
        ({"reference_closure": None}, "C-N/1 has reference_closure None instead of 0.001"),
    ],
)
def test_other_scans_are_refused_with_the_difference(tmp_path, capsys, changes, said):
    same = {f"C-N/{i}": system(i) for i in range(3)}
    results = [
        write_result(tmp_path / "a", same),
        write_result(tmp_path / "b", same | {"C-N/1": system(1, **changes)}),
    ]
    assert main(["compare", *map(str, results)]) == 2
    error = capsys.readouterr().err
    assert (
        f"error: {results[1]}: scored on other scans than {results[0]}: {said}" in error and error.count("\n") == 1
    )


def test_another_machine_is_no_other_scan(tmp_path):
    same = {f"C-N/{i}": system(i) for i in range(3)}
    other = same | {"C-N/1": system(1, reference_closure=0.001 + 1e-13, zero_full_smoothness=51.0 * (1 + 1e-13))}
    assert len(compare([write_result(tmp_path / "a", same), write_result(tmp_path / "b", other)]).systems) == 3


def test_bad_input_is_one_line(tmp_path, capsys):
    good, other = results_of(tmp_path, *drawn(1, 0.0, 5))
    old = str(
        write_result(tmp_path / "old", {"C-N/0": {k: v for k, v in system(0).items() if k != "full_forces_mae"}})
    )
    elsewhere = str(write_result(tmp_path / "elsewhere", {"N-O/7": system(7)}))
    empty = str(write_result(tmp_path / "empty", {}))
    failed = str(write_result(tmp_path / "failed", {"C-N/0": system(0, failure="NaN")}))
    (tmp_path / "torn.json").write_text('{"schema": 1, "mod')
    facts = json.loads((Path(good) / "result.json").read_text())
    lists = {name: str(tmp_path / f"{name}.json") for name in ("keys", "systems")}
    for name, path in lists.items():
        Path(path).write_text(json.dumps(facts | {name: list(facts[name])}))
    (tmp_path / "entries.json").write_text(json.dumps(facts | {"systems": {"C-N/0": [1.0]}}))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text("{}")
    cases = {
        (good,): "expected at least two results to compare, not 1",
        (good, str(tmp_path / "none")): f"{tmp_path / 'none'}: no such result",
        (good, str(tmp_path / "torn.json")): "not a result of mlip-design bsct",
        (good, str(tmp_path / "run")): f"{tmp_path / 'run' / 'result.json'}: no such result",
        (empty, empty): f"{empty}: no system has a usable prediction",
        (good, failed): f"{failed}: no system has a usable prediction",
        (lists["keys"], good): f"{lists['keys']}: not a result of mlip-design bsct (",
        (good, lists["systems"]): f"{lists['systems']}: not a result of mlip-design bsct (",
        (good, str(tmp_path / "entries.json")): "entries.json: not a result of mlip-design bsct (",
        (good, old): f"{old}: C-N/0 has no 'full_forces_mae'; score the model again",
        (good, elsewhere): f"no system has a usable prediction in all results; there are 5 in {good}, 1 in",
        (good, other, "--keys", "full_smothness"): "no 'full_smothness' (did you mean 'full_smoothness'?); it has",
        (good, other, "--out", other): f"{other} holds result.json, whose report.html would be written over",
        (good, other, "--out", str(tmp_path / "torn.json")): "is a file, expected a folder",
    }
    for arguments, message in cases.items():
        assert main(["compare", *arguments]) == 2, arguments
        printed = capsys.readouterr()
        assert message in printed.err and printed.err.count("\n") == 1 and printed.out == ""


def test_a_page_and_the_same_numbers_beside_it(tmp_path, capsys):
    results, out = results_of(tmp_path, *drawn(5, -8.0)), tmp_path / "new" / "out"
    assert main(["compare", *results, "--out", str(out), "--json", str(tmp_path / "c.json")]) == 0
    assert (out / "comparison.json").read_bytes() == (tmp_path / "c.json").read_bytes()
    assert f"page  {out / 'report.html'}" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["comparison.json", "report.html"]
    assert (out / "report.html").stat().st_size < 8e6


def test_comparisons_have_the_stress_where_all_systems_have_it(tmp_path, capsys):
    for name, factor in (("one", "0.5"), ("two", "0.9")):
        model = ["build_calculators:Stressed", "--calculator-args", f"factor={factor}"]
        assert main(["bsct", *model, "--data", str(volume_scans.built()), "--out", str(tmp_path / name)]) == 0
    capsys.readouterr()
    results = [str(tmp_path / "one"), str(tmp_path / "two")]
    assert main(["compare", *results, "--json", str(tmp_path / "c.json")]) == 0
    keys = json.loads((tmp_path / "c.json").read_text())["keys"]
    assert keys["stress_mae"]["differences"][0]["verdict"] == "lower" and keys["stress_mae"]["unit"] == "eV/Å³"
    facts = json.loads((tmp_path / "two" / "result.json").read_text())
    for key in ("stress_mae", "stress_smoothness"):
        del facts["systems"][volume_scans.COPPER][key]
    (tmp_path / "two" / "result.json").write_text(json.dumps(facts))
    assert main(["compare", *results, "--keys", "stress_mae"]) == 2
    assert "only scans of the volume have it: score these alone, with --bonds" in capsys.readouterr().err
