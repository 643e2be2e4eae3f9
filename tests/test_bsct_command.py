"""`mlip-design bsct`: the published values, what it writes and prints, exit status, bad input."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tiny_run
from checkpoints import saved
from published_score import largest_deviation
from scan_files import System, edit

from mlip_design.bsct import PUBLISHED_KEYS, load_scans, score_scan
from mlip_design.bsct.plots import plot_scan
from mlip_design.bsct.result import load_result
from mlip_design.calculator import MLIPCalculator
from mlip_design.cli import main

MORSE = "scoring_calculators:Morse"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Five systems of five bond types, twenty frames each."""
    return tiny_run.write_scans(tiny_run.few_scans(), tmp_path_factory.mktemp("data") / "scans")


@pytest.fixture(scope="module")
def scored(data, tmp_path_factory) -> Path:
    """Result of a Morse potential."""
    out = tmp_path_factory.mktemp("scored") / "out"
    assert main(["bsct", MORSE, "--data", str(data), "--out", str(out)]) == 0
    return out


def facts_of(out: Path) -> dict:
    return json.loads((out / "result.json").read_text())


def test_the_nine_keys_are_the_published_ones(scored, data):
    assert largest_deviation(scored, data) < 1e-9


def test_another_formula_would_be_seen(scored, data):
    assert largest_deviation(scored, data, wrong_centre=True) > 1e-2


def test_a_mean_is_over_systems(scored):
    facts = facts_of(scored)
    for key in PUBLISHED_KEYS:
        values = [system[key] for system in facts["systems"].values()]
        found = facts["keys"][key]
        assert found["published_mean"] == found["mean"] == pytest.approx(sum(values) / 5, rel=1e-12)
        assert found["interval"][0] < found["mean"] < found["interval"][1]
        assert min(values) <= found["median"] <= found["percentile_95"] <= max(values)
    assert {bond: found["count"] for bond, found in facts["bonds"].items()} == dict.fromkeys(facts["bonds"], 1)
    worst = [facts["systems"][name]["full_smoothness"] for name in facts["worst"]]
    assert worst == sorted(worst, reverse=True) and len(worst) == 5


def test_a_result_needs_no_data_to_be_drawn(scored, data):
    result = load_result(scored)
    assert [scan.name for scan in result.scans] == list(result.facts["systems"])
    for scan, written, predicted in zip(result.scans, load_scans(data), result.predictions, strict=True):
        np.testing.assert_array_equal(scan.forces, written.forces)
        entry = result.facts["systems"][scan.name]
        assert {key: entry[key] for key in PUBLISHED_KEYS}.items() <= score_scan(scan, *predicted).items()
    assert plot_scan(result.scans[0], *result.predictions[0]).axes


def test_a_checkpoint_gives_what_its_calculator_gives_frame_by_frame(data, tmp_path):
    """Batches change nothing beyond rounding."""
    checkpoint = saved(tmp_path / "model.ckpt")
    assert (
        main(["bsct", str(checkpoint), "--data", str(data), "--out", str(tmp_path / "out"), "--bonds", "C-C"]) == 0
    )
    result, calculator = load_result(tmp_path / "out"), MLIPCalculator.from_checkpoint(checkpoint)
    assert result.facts["model"]["dtype"] == "float64"
    for scan, (energies, forces) in zip(result.scans, result.predictions, strict=True):
        for frame in (0, 7):
            atoms = tiny_run.Atoms(scan.numbers, scan.positions[frame], calculator=calculator)
            assert energies[frame] == pytest.approx(atoms.get_potential_energy(), rel=1e-10)
            np.testing.assert_allclose(forces[frame], atoms.get_forces(), rtol=0, atol=1e-8)


def test_an_unknown_element_is_named(data, tmp_path):
    """The model knows neither S nor P."""
    checkpoint, out = saved(tmp_path / "model.ckpt"), tmp_path / "out"
    command = ["bsct", str(checkpoint), "--data", str(data), "--out", str(out)]
    assert main(command) == 0
    assert main([*command, "--strict"]) == 1
    facts = facts_of(out)
    assert facts["failed"] and all("is unknown to this potential" in why for why in facts["failed"].values())
    assert facts["count"] == 5 - len(facts["failed"])


def test_selection(data, tmp_path):
    out = tmp_path / "out"
    assert main(["bsct", MORSE, "--data", str(data), "--out", str(out), "--bonds", "C-N,C-C", "--limit", "1"]) == 0
    assert [name[:3] for name in facts_of(out)["systems"]] == ["C-C"]
    assert facts_of(out)["keys"]["full_smoothness"]["interval"] is None


def test_what_is_printed(scored, data, capsys, tmp_path):
    """Nothing is cut off at 80 columns, and the zero forces stand beside."""
    assert main(["bsct", MORSE, "--data", str(data), "--json", str(tmp_path / "facts.json")]) == 0
    printed = capsys.readouterr().out
    facts = json.loads((tmp_path / "facts.json").read_text())
    full = facts["keys"]["full_smoothness"]
    assert "…" not in printed
    assert f"{full['mean']:.1f}" in printed and f"{full['zero']:.1f}" in printed
    assert all(name in printed for name in facts["worst"])
    assert "no better than zero forces: full_smoothness" in printed


def test_the_shortest_scan(tmp_path, capsys):
    """Two frames: every second one is none."""
    System(count=2, energies=[1.0, 0.5]).write(tmp_path / "scans")
    assert main(["bsct", MORSE, "--data", str(tmp_path / "scans"), "--out", str(tmp_path / "out")]) == 0
    assert facts_of(tmp_path / "out")["sensitivity"][-1]["full_smoothness"] is None
    assert "1 of 1 systems" in capsys.readouterr().out


def test_a_broken_system(data, tmp_path, capsys):
    root = tmp_path / "scans"
    System().write(root)
    edit(System("C-C", "7").write(root) / "atoms_3.xyz", "H ", "F ")
    command = ["bsct", MORSE, "--data", str(root), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert list(facts_of(tmp_path / "out")["data"]["left_out"]) == ["C-C/7"]
    assert "atoms_3.xyz: atoms are CNF" in capsys.readouterr().out
    assert main([*command, "--strict"]) == 1
    (root / "C-N" / "1" / "partition.npz").unlink()
    assert main(command) == 1
    assert facts_of(tmp_path / "out")["count"] == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere.ckpt", "--data", "DATA"], "nowhere.ckpt: no such checkpoint"),
        (["no_module:Morse", "--data", "DATA"], "no_module:Morse: cannot be imported"),
        ([MORSE], "required: --data"),
        ([MORSE, "--data", "nowhere"], "nowhere: no such folder or archive"),
        ([MORSE, "--data", "DATA", "--bonds", "N-C"], "no bond type 'N-C' in C-C, "),
        ([MORSE, "--data", "DATA", "--limit", "0"], "must be at least 1, not 0"),
        ([MORSE, "--data", "DATA", "--device", "cuda"], "is a calculator; tell it by --calculator-args"),
        (["CHECKPOINT", "--data", "DATA", "--device", "warp"], "--device: 'warp' cannot be used here"),
        (["CHECKPOINT", "--data", "DATA", "--dtype", "float16"], "invalid choice: 'float16'"),
        (["CHECKPOINT", "--data", "DATA", "--calculator-args", "a=1"], "is a checkpoint; arguments go with"),
        ([MORSE, "--data", "DATA", "--calculator-args", "a"], "'a' is not of the form key=value"),
        ([MORSE, "--data", "DATA", "--calculator-args", "a=1"], "Morse: cannot be made with {'a': 1}"),
        ([MORSE, "--data", "DATA", "--out", "CHECKPOINT"], "is a file, expected a folder or a new name"),
        ([MORSE, "--data", "DATA", "--json", "nowhere/a.json"], "nowhere/a.json cannot be a file"),
    ],
)
def test_bad_input(arguments, message, data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"DATA": str(data), "CHECKPOINT": str(saved(tmp_path / "model.ckpt"))}
    assert main(["bsct", *(places.get(word, word) for word in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.ckpt"]


MODULES = {
    "no_syntax": "def calculator(:",
    "no_division": "1 / 0",
    "no_module": "raise SystemExit('not to be imported')",
}


@pytest.mark.parametrize(
    "model, message",
    [
        ("./part.py:calculator", "./part.py:calculator: names a file; write part:calculator in the folder"),
        ("folder/part.py:calculator", "write part:calculator in the folder of the file"),
        ("..part:calculator", "..part:calculator: cannot be imported as module:callable (TypeError"),
        ("no_syntax:calculator", "no_syntax:calculator: cannot be imported as module:callable (SyntaxError"),
        (
            "no_division:calculator",
            "no_division:calculator: cannot be imported as module:callable (ZeroDivisionError",
        ),
        ("no_module:calculator", "(SystemExit: not to be imported)"),
        ("sys:exit", "sys:exit: cannot be made with {} (SystemExit"),
        ("builtins:dict", "builtins:dict: makes a dict, no ASE calculator (it has no get_potential_energy"),
        ("os:getcwd", "os:getcwd: makes a str, no ASE calculator"),
    ],
)
def test_a_model_that_is_no_calculator(model, message, data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in MODULES.items():
        (tmp_path / f"{name}.py").write_text(content)
    assert main(["bsct", model, "--data", str(data)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error


def test_a_comparison_keeps_its_page(data, tmp_path, capsys):
    (tmp_path / "comparison.json").write_text("{}")
    assert main(["bsct", MORSE, "--data", str(data), "--out", str(tmp_path)]) == 2
    assert "holds comparison.json, whose report.html would be written over" in capsys.readouterr().err


def test_ctrl_c(data, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mlip_design.bsct.scoring.predict", interrupted)
    assert main(["bsct", MORSE, "--data", str(data)]) == 130
    assert capsys.readouterr().out == "stopped; the same command goes on where it was\n"


@pytest.mark.parametrize("name", ["result.json", "predictions.npz"])
def test_a_damaged_result_is_one_line(scored, tmp_path, name):
    for path in scored.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[: 1000 if path.name == name else None])
    with pytest.raises(ValueError, match=rf"{name}: ") as caught:
        load_result(tmp_path)
    assert "\n" not in str(caught.value)


def test_gfn2_xtb_on_real_systems(tmp_path):
    """The smallest systems of the published data, if they are here."""
    root = os.environ.get("MLIP_DESIGN_DATA")
    if not root or not (Path(root) / "bsct_spice").is_dir():
        pytest.skip("MLIP_DESIGN_DATA names no folder that contains bsct_spice/")
    scans = load_scans(Path(root) / "bsct_spice", limit=27)
    for scan in sorted(scans, key=lambda scan: len(scan.numbers))[:2]:
        (tmp_path / "scans" / scan.bond).mkdir(parents=True, exist_ok=True)
        (tmp_path / "scans" / scan.name).symlink_to(Path(root) / "bsct_spice" / scan.name)
    arguments = ["--calculator-args", "method=GFN2-xTB", "verbosity=0", "--data", str(tmp_path / "scans")]
    assert main(["bsct", "tblite.ase:TBLite", *arguments, "--out", str(tmp_path / "out")]) == 0
    assert largest_deviation(tmp_path / "out", tmp_path / "scans") < 1e-9
    assert largest_deviation(tmp_path / "out", tmp_path / "scans", wrong_centre=True) > 1e-3
