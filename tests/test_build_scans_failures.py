"""Building scans when things go wrong: frames without an answer, kills, relaxations that fail; and real calculators."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.emt import EMT
from conftest import ROOT
from test_build_scans import EMT_NAME, QUICK, write

from mlip_design.bsct import load_scans
from mlip_design.cli import main

HELD = ["--calculator", "build_calculators:Held", "--bonds", "all"]
TESTS = str(ROOT / "tests")


def build(out: Path, structures: str, *arguments: str) -> tuple[int, dict]:
    """Exit status and record of a build."""
    status = main(["build-scans", "--structures", structures, "--out", str(out), *arguments])
    return status, json.loads((out / "build.json").read_text())


def contents(out: Path) -> dict[str, bytes]:
    """Every file below a folder, by relative path."""
    files = [path for path in out.rglob("*") if path.is_file()]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


REASONS = {False: "CalculationFailed: SCF not converged in 50 steps", True: "energy or forces are not finite"}


@pytest.mark.parametrize("silent", REASONS)
def test_frames_without_an_answer_are_counted_and_left_out_by_the_reader(tmp_path, capsys, silent):
    structures = write(tmp_path / "one.xyz", "CH3CH2OH")
    arguments = ["--calculator", "build_calculators:Failing", "--bonds", "C-C,C-O", *QUICK]
    status, record = build(
        tmp_path / "out", structures, *arguments, "--calculator-args", "shortest=0.95", f"silent={silent}"
    )
    assert status == 0
    scans = {scan.name: scan for scan in load_scans(tmp_path / "out")}
    assert sorted(scan.bond for scan in scans.values()) == ["C-C", "C-O"]
    n_missing = 0
    for name, system in record["systems"].items():
        frames = [ase.io.read(tmp_path / "out" / name / f"atoms_{k}.xyz") for k in range(7)]
        distances = [frame.get_all_distances()[np.triu_indices(len(frame), 1)] for frame in frames]
        failed = [pair.min() < 0.95 for pair in distances]
        assert [bool(np.isnan(frame.get_potential_energy())) for frame in frames] == failed
        assert [bool(np.isnan(frame.get_forces()).all()) for frame in frames] == failed
        assert len(scans[name].lengths) == 7 - sum(failed)
        assert system["without_label"] == sum(failed) > 0
        assert system["failures"] == {REASONS[silent]: sum(failed)}
        n_missing += sum(failed)
    assert f"{n_missing:6d}  {REASONS[silent]}" in capsys.readouterr().out


def test_a_label_does_not_depend_on_the_frames_before_it(tmp_path):
    structures = write(tmp_path / "one.xyz", "CH3OH")
    status, _ = build(tmp_path / "out", structures, "--calculator", "build_calculators:Remembering", *QUICK)
    assert status == 0
    (scan,) = load_scans(tmp_path / "out")
    for positions, energy in zip(scan.positions, scan.energies, strict=True):
        atoms = ase.Atoms(scan.numbers, positions, calculator=EMT())
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-8)


def test_a_scan_with_one_label_or_a_start_without_is_left_out_with_the_reason(tmp_path, capsys):
    structures = write(tmp_path / "two.xyz", "CH3OH", "H2")
    arguments = ["--calculator", "build_calculators:Failing", "--bonds", "C-O,H-H", *QUICK]
    arguments += ["--calculator-args", "shortest=0.9", "--range", "0.1", "1.1", "--frames", "2"]
    status, record = build(tmp_path / "out", structures, *arguments)
    assert status == 1
    assert record["systems"] == {}
    reasons = {(entry["group"], entry["source"][-1]): entry["reason"] for entry in record["left_out"]}
    assert "1 of 2 frames have a label (CalculationFailed" in reasons["C-O", "0"]
    assert reasons["structure", "1"] == "CalculationFailed: SCF not converged in 50 steps"
    assert "1 of 2 frames" in capsys.readouterr().out
    assert not (tmp_path / "out" / "C-O").exists()


@pytest.mark.parametrize("relaxed, reason", [("--no-relax", ""), ("--relax", "relaxation: ")])
def test_a_mistake_of_the_calculator_is_a_reason(tmp_path, capsys, relaxed, reason):
    structures = write(tmp_path / "two.xyz", "CH3OH", "H2O")
    arguments = ["--calculator", "build_calculators:Mistaken", *QUICK, relaxed]
    status, record = build(tmp_path / "out", structures, *arguments)
    assert (status, record["systems"]) == (1, {})
    assert f"     2  structure: {reason}KeyError: 'energies'" in capsys.readouterr().out


def command_line(folder: Path, structures: str, *arguments: str) -> subprocess.Popen:
    """A build in the folder "out" by a process of its own, whose calculator writes calls.log; both in `folder`."""
    command = [sys.executable, "-m", "mlip_design", "build-scans", "--structures", structures, *HELD, *QUICK]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{TESTS}"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    options = {"env": environment, **pipes, "preexec_fn": heed_interrupts, "cwd": folder}
    return subprocess.Popen([*command, "--out", "out", *arguments], **options)


def heed_interrupts() -> None:
    """A job in the background of a shell ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def calls(folder: Path) -> tuple[Counter, set[int]]:
    """How often each geometry was computed, and the processes that did it."""
    log = folder / "calls.log"
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return Counter(line[1] for line in lines), {int(line[0]) for line in lines}


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds: float = 60) -> None:
    """Wait until something is so."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds
        time.sleep(0.02)


def test_a_killed_build_goes_on_and_neither_loses_nor_repeats(tmp_path, monkeypatch, capsys):
    structures = write(tmp_path / "two.xyz", "CH3OH", "H2O")
    killed, fresh = tmp_path / "killed", tmp_path / "fresh"
    killed.mkdir()
    fresh.mkdir()
    (killed / "hold").write_text("14")
    process = command_line(killed, structures, "--workers", "2")
    wait_for(lambda: calls(killed)[0].total() == 16)
    assert main(["build-scans", "--structures", structures, "--out", str(killed / "out"), *HELD, *QUICK]) == 2
    assert "another build is at work" in capsys.readouterr().err
    process.kill()
    process.wait()
    (killed / "hold").unlink()
    workers = calls(killed)[1]
    assert len(workers) == 2
    wait_for(lambda: not any(map(alive, workers)))
    assert sum(name.endswith(".xyz") for name in contents(killed / "out")) >= 10

    monkeypatch.chdir(killed)
    status, record = build(killed / "out", structures, *HELD, *QUICK)
    assert status == 0
    monkeypatch.chdir(fresh)
    assert build(fresh / "out", structures, *HELD, *QUICK) == (0, record)
    assert contents(killed / "out") == contents(fresh / "out")
    assert len(load_scans(killed / "out")) == len(record["systems"]) == 7
    seen, expected = calls(killed)[0], calls(fresh)[0]
    assert seen.keys() == expected.keys()
    assert 0 <= seen.total() - expected.total() <= len(workers)  # what was being computed at the kill

    assert build(fresh / "out", structures, *HELD, *QUICK) == (0, record)  # finished: nothing is computed
    assert calls(fresh)[0].total() == expected.total() == 2 + 7 * 8


def test_ctrl_c_ends_all_processes(tmp_path):
    (tmp_path / "hold").write_text("40")
    process = command_line(tmp_path, write(tmp_path / "one.xyz", "CH3CH2OH"), "--workers", "2")
    wait_for(lambda: len(list(tmp_path.glob("out/*-*/*/partition.npz"))) >= 2)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=20)
    done = len(list(tmp_path.glob("out/*-*/*/partition.npz")))
    assert process.returncode == 130
    (said,) = re.findall(r"stopped after (\d) of 8 systems; the same command goes on\n", printed)
    assert printed.count("\n") == 1 and errors == ""
    assert 1 <= int(said) <= done < 8
    wait_for(lambda: not any(map(alive, calls(tmp_path)[1])), 10)


def test_a_process_that_dies_is_told_and_what_was_done_stays(tmp_path, capsys):
    structures = write(tmp_path / "one.xyz", "H2O")
    arguments = ["--structures", structures, "--out", str(tmp_path / "out"), "--bonds", "all", *QUICK]
    assert main(["build-scans", *arguments, "--calculator", "build_calculators:Deadly"]) == 2
    assert capsys.readouterr().err == "error: a process that computes was killed (out of memory?)\n"


def test_a_relaxation_that_breaks_bonds_is_a_reason(tmp_path):
    structures = write(tmp_path / "one.xyz", "CH3CH2OH")
    status, record = build(tmp_path / "out", structures, "--calculator", EMT_NAME, "--frames", "3")
    assert status == 1
    assert [entry["reason"] for entry in record["left_out"]] == ["relaxation: bonds changed"]


def test_structures_that_are_no_single_molecule_are_left_out(tmp_path):
    pair = molecule("H2O")
    pair.extend(molecule("H2O"))
    pair.positions[3:] += [4.0, 0, 0]
    crystal = ase.Atoms("Cu", cell=[[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]], pbc=True)
    ase.io.write(tmp_path / "both.xyz", [pair, crystal], format="extxyz")
    status, record = build(tmp_path / "out", str(tmp_path / "both.xyz"), "--calculator", EMT_NAME, *QUICK)
    assert status == 1
    reasons = sorted(entry["reason"] for entry in record["left_out"])
    assert reasons == ["a crystal; bond scans take one molecule", "two molecules; bond scans take one molecule"]


def test_methanol_with_xtb_from_its_smiles(tmp_path):
    tblite = pytest.importorskip("tblite.ase", reason="tblite is not installed (extra xtb)")
    pytest.importorskip("rdkit", reason="RDKit is not installed (extra xtb)")
    theory = {"method": "GFN2-xTB", "verbosity": 0, "cache_api": False}
    arguments = [
        "--smiles",
        "CO",
        "--calculator",
        "tblite.ase:TBLite",
        "--frames",
        "9",
        "--out",
        str(tmp_path / "out"),
    ]
    arguments += ["--calculator-args", *(f"{key}={value}" for key, value in theory.items())]
    assert main(["build-scans", *arguments]) == 0
    (found,) = load_scans(tmp_path / "out")
    assert found.name == "C-O/0000_0-1"
    start = ase.io.read(tmp_path / "out" / found.name / "unperturbed.xyz")
    assert np.linalg.norm(start.get_forces(), axis=1).max() < 0.01
    assert 1.40 < start.get_distance(0, 1) < 1.43  # Å; GFN2-xTB gives methanol a C-O bond of 1.417
    np.testing.assert_allclose(found.lengths, np.linspace(0.5 * 1.42, 2 * 1.42, 9))
    for positions, energy, forces in zip(found.positions, found.energies, found.forces, strict=True):
        atoms = ase.Atoms(found.numbers, positions, calculator=tblite.TBLite(**theory))
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-7)
        np.testing.assert_allclose(atoms.get_forces(), forces, rtol=0, atol=1e-6)


def test_a_trained_potential_is_a_level_of_theory_too(tmp_path):
    from checkpoints import saved

    from mlip_design.calculator import MLIPCalculator

    model = saved(tmp_path / "model.ckpt")
    structures = write(tmp_path / "two.xyz", "CH3OH", "SiH4")
    arguments = ["--calculator", str(model), "--bonds", "all", *QUICK]
    status, record = build(tmp_path / "out", structures, *arguments)
    assert status == 0
    assert "element Si is unknown to this potential" in record["left_out"][0]["reason"]
    scan = load_scans(tmp_path / "out", limit=1)[0]
    atoms = ase.Atoms(scan.numbers, scan.positions[3], calculator=MLIPCalculator.from_checkpoint(model))
    assert atoms.get_potential_energy() == pytest.approx(scan.energies[3], abs=1e-8)
    np.testing.assert_allclose(atoms.get_forces(), scan.forces[3], rtol=0, atol=1e-7)
