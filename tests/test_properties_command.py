"""`mlip-design properties`: table, JSON and page; what fails is named and the rest goes on; a kill loses nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import ase.io
import pytest
from ase.build import bulk, molecule
from conftest import ROOT

from mlip_design.cli import main

EMT_NAME = "ase.calculators.emt:EMT"
TESTS = str(ROOT / "tests")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder to work in, with water, nitrogen and copper, and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLIP_DESIGN_CACHE", str(tmp_path / "cache"))
    ase.io.write("molecules.xyz", [molecule("H2O"), molecule("N2")], format="extxyz")
    ase.io.write("copper.xyz", bulk("Cu"), format="extxyz")
    return tmp_path


def run(*arguments: str, structures=("molecules.xyz", "copper.xyz"), model=EMT_NAME) -> tuple[int, dict | None]:
    """Exit status and JSON of the command."""
    command = ["properties", model, "--structures", *structures, "--reference", EMT_NAME, "--json", "all.json"]
    Path("all.json").unlink(missing_ok=True)
    status = main([*command, *arguments])
    return status, json.loads(Path("all.json").read_text()) if Path("all.json").exists() else None


def test_table_json_and_page(files, capsys):
    status, facts = run("--properties", "relax,dimer,eos", "--out", "out")
    assert status == 0
    assert facts["counts"] == {"done": 5, "left out": 4, "failed": 0} and facts["from_cache"] == 0
    assert [entry["formula"] for entry in facts["structures"]] == ["H2O", "N2", "Cu"]
    eos = facts["structures"][2]["properties"]["eos"]
    assert eos["status"] == "done"
    assert {q["name"]: q["error"] for q in eos["quantities"]} == {"volume": 0, "energy": 0, "bulk modulus": 0}
    assert facts["means"]["dimer"]["depth"] == {"unit": "eV", "mean_absolute_error": 0, "values": 2}
    assert json.loads(Path("out/properties.json").read_text()) == facts
    shown = capsys.readouterr().out
    assert (
        "molecules.xyz:0 H2O" in shown
        and "bulk modulus, GPa" in shown
        and "5 computed (0 of them before)" in shown
    )
    page = Path("out/report.html").read_text()
    assert page.count("<svg") == 3 and "equation of state" in page and 'src="http' not in page

    before = facts["structures"]
    status, facts = run("--properties", "relax,dimer,eos", "--out", "out")
    assert status == 0 and facts["from_cache"] == 5 and facts["structures"] == before


def test_what_fails_is_named_and_the_others_go_on(files, capsys):
    model = "property_calculators:Failing"
    status, facts = run("--properties", "relax,dimer", "--calculator-args", "element=O", model=model)
    assert status == 1
    water, nitrogen, _ = (entry["properties"] for entry in facts["structures"])
    assert water["relax"] == {"status": "failed", "reason": "CalculationFailed: SCF not converged in 50 steps"}
    assert water["dimer"]["status"] == "failed" and "0 of 69 frames" in water["dimer"]["reason"]
    assert nitrogen["relax"]["status"] == nitrogen["dimer"]["status"] == "done"
    assert "molecules.xyz:0 H2O, relax: CalculationFailed: SCF not converged" in capsys.readouterr().out


def test_another_model_another_answer(files):
    _, first = run("--properties", "relax", "--calculator-args", "factor=1.0", model="property_calculators:Scaled")
    _, second = run(
        "--properties", "relax", "--calculator-args", "factor=1.1", model="property_calculators:Scaled"
    )
    assert second["from_cache"] == 0
    heights = [facts["means"]["relax"]["height above minimum"]["mean_absolute_error"] for facts in (first, second)]
    assert heights[0] < 1e-3 < 0.05 < heights[1]
    assert run("--properties", "relax", "--fmax", "0.05")[1]["from_cache"] == 0


def test_without_phonopy_only_phonons_are_refused(files, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run("--properties", "phonons") == (2, None)
    assert "phonopy is not installed: pip install 'mlip-design[phonons]'" in capsys.readouterr().err
    assert run("--properties", "all", structures=["molecules.xyz"])[0] == 0


def computed() -> Counter:
    """How often a held calculator has seen a formula."""
    log = Path("calls.log")
    return Counter(line.split()[1] for line in log.read_text().splitlines()) if log.exists() else Counter()


def test_a_killed_run_goes_on_where_it_was(files):
    arguments = ["--properties", "relax", "--calculator-args", "folder=."]
    held = ["properties", "property_calculators:Held", "--structures", "molecules.xyz", "--reference", EMT_NAME]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{TESTS}"}
    command = [sys.executable, "-m", "mlip_design", *held, *arguments]
    Path("hold").write_text("N2")
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    start = time.monotonic()
    while not computed()["N2"]:
        assert time.monotonic() - start < 60 and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    Path("hold").unlink()
    water = computed()["OH2"]
    assert water
    status, facts = run(*arguments, structures=["molecules.xyz"], model="property_calculators:Held")
    assert status == 0 and facts["from_cache"] == 1 and facts["counts"]["done"] == 2
    assert computed()["OH2"] == water


def test_a_damaged_store_is_computed_again(files):
    _, first = run("--properties", "eos")
    for file in Path("cache").rglob("*.json"):
        file.write_text("{")
    _, second = run("--properties", "eos")
    assert second["from_cache"] == 0
    assert (
        second["structures"][2]["properties"]["eos"]["quantities"]
        == (first["structures"][2]["properties"]["eos"]["quantities"])
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--properties", "relx"], "--properties: 'relx' is not one of relax, vibrations"),
        (["--properties", "relx"], "closest: relax"),
        (["--fmax", "0"], "--fmax: 0, expected more than 0"),
        (["--steps", "0"], "must be at least 1"),
        (["--structures", "molecule.xyz"], "molecule.xyz: no such file; did you mean molecules.xyz?"),
        (["--reference", "ase.calculators.emt:EMMT"], "EMMT: cannot be imported"),
        (["--reference-args", "wrong"], "--reference-args: 'wrong' is not of the form key=value"),
        (["--calculator-args", "wrong"], "--calculator-args: 'wrong' is not of the form key=value"),
        (["--out", "molecules.xyz"], "--out: molecules.xyz is a file"),
        (["--out", "run"], "--out: run holds results.json"),
        (["--json", "no/folder.json"], "--json: no/folder.json cannot be a file"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(files, capfd, arguments, message):
    Path("run").mkdir()
    Path("run/results.json").touch()
    status, facts = run("--out", "out", *arguments)
    assert (status, facts) == (2, None)
    error = capfd.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and message in error
    assert not Path("out").exists() and not Path("run/report.html").exists()
