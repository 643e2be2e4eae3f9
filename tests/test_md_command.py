"""`mlip-design md`: what it prints and writes, kills and resumption, bad input; conservation; time steps."""

import json
import sys
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from dynamics_calculators import triangle

from mlip_design import cli
from mlip_design.dynamics import simulate
from mlip_design.dynamics.measure import measure, summarize
from mlip_design.dynamics.protocol import Protocol
from mlip_design.dynamics.result import Departure, End
from mlip_design.dynamics.time_step_test import deviation, judge
from mlip_design.dynamics.trajectory import Trajectory

MORSE = "dynamics_calculators:Morse"
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["mlip_design.dynamics.run"])  # torch is imported once


@pytest.fixture
def molecules(tmp_path) -> str:
    """A file of three."""
    ase.io.write(
        tmp_path / "molecules.xyz", [triangle("COS"), triangle("NOS", 1.3), triangle("COF")], format="extxyz"
    )
    return str(tmp_path / "molecules.xyz")


def md(model: str, molecules: str, out: Path, *words: str) -> int:
    """Exit status of the command."""
    return cli.main(["md", model, "--structures", molecules, "--out", str(out), *words])


def saving_often(molecules: str, out: Path, words: list[str]) -> None:
    """What a process of the test of kills does."""
    torch.set_num_threads(1)
    simulate.SAVE_SECONDS = 0.05
    sys.exit(md("dynamics_calculators:Slow", molecules, out, *words))


def result(out: Path) -> dict:
    """What a folder holds, less what another run of the same may have otherwise."""
    facts = json.loads((out / "result.json").read_text())
    facts["model"].pop("name")
    return {name: value for name, value in facts.items() if name != "seconds"}


def made(energies: list[float] | np.ndarray, **changes) -> Trajectory:
    """A trajectory of two atoms and 1 ps with these total energies (eV)."""
    energies = np.asarray(energies, dtype=float)
    times = np.linspace(0, 1, len(energies))
    whole = Trajectory(
        0, 1, np.array([6, 8]), True, times, energies, np.full(len(times), 150.0), 310.0, 0.5, None, None
    )
    return replace(whole, **changes)


def test_drift_and_fluctuation_are_those_of_a_line_without_its_first_tenth():
    times = np.linspace(0, 1, 1001)
    energies = 0.004 * times + 0.001 * np.sqrt(2) * np.sin(100 * 2 * np.pi * times)
    energies[:100] += 5.0
    found = measure(made(energies), Protocol())
    assert found["drift"] == pytest.approx(2.0, rel=2e-2)
    assert found["fluctuation"] == pytest.approx(0.5, rel=2e-2)
    assert (found["temperature_spike"], found["survived"], found["formula"]) == (160.0, True, "CO")
    spoiled = energies.copy()
    spoiled[100:140] += 5.0
    assert abs(measure(made(spoiled), Protocol())["drift"]) > 100


def test_what_failed_counts_in_survival_and_not_in_drift():
    ended = made(
        np.r_[np.zeros(50), np.full(51, np.nan)], end=End(1000, "hot"), departure=Departure(900, (0, 1), 1.1, 1.7)
    )
    measured = [measure(one, Protocol()) for one in (made(np.linspace(0, 0.002, 101)), ended)]
    assert measured[1]["time_to_failure"] == pytest.approx(0.45)
    assert (measured[1]["drift"], measured[1]["departure"]["bond"]) == (None, "C-O")
    assert measure(made(np.zeros(50)), Protocol())["drift"] == 0
    summary = summarize(measured)
    assert (summary["survival"], summary["ended"], summary["departures"]) == (0.5, 1, 1)
    assert summary["drift"] == pytest.approx(1.0)


def test_the_command_writes_and_prints(molecules, tmp_path, capsys):
    file = tmp_path / "md.json"
    words = ["--seeds", "2", "--steps", "100", "--json", str(file)]
    assert md(MORSE, molecules, tmp_path / "out", *words) == 0
    printed = capsys.readouterr().out
    assert "3 structures x 2 seeds, nve at 300 K, 0.05 ps in steps of 0.5 fs" in printed
    assert "survived: 100% of 6" in printed
    facts = json.loads(file.read_text())
    assert facts == json.loads((tmp_path / "out" / "result.json").read_text())
    assert [(one["structure"], one["seed"]) for one in facts["trajectories"]] == [
        (s, k) for s in range(3) for k in (1, 2)
    ]
    assert facts["summary"]["not_relaxed"] == 0 and (tmp_path / "out" / "dynamics.png").stat().st_size > 10_000
    frames = ase.io.read(tmp_path / "out" / "trajectories" / "0001_seed2.xyz", ":")
    assert [frame.info["time"] for frame in frames] == [0, 10, 20, 30, 40, 50]
    totals = [frame.get_potential_energy() + frame.get_kinetic_energy() for frame in frames]
    assert np.ptp(totals) < 3e-3 < np.ptp([frame.get_potential_energy() for frame in frames])


def test_a_trajectory_that_explodes_is_named_and_status_is_1(molecules, tmp_path, capsys):
    words = ["--no-relax", "--steps", "100", "--calculator-args", "how=nan"]
    assert md("dynamics_calculators:Failing", molecules, tmp_path / "out", *words) == 1
    printed = capsys.readouterr().out
    assert (
        "survived: 67% of 3 (1 ended early" in printed
        and "failed: 1 NOS, seed 1: energy or forces are not finite at 0.015 ps" in printed
    )
    assert len(ase.io.read(tmp_path / "out" / "trajectories" / "0001_seed1.xyz", ":")) == 3


def test_killed_at_any_time_it_goes_on_to_the_same_end(molecules, tmp_path):
    """kill -9 twice, with states written all the time; numbers and trajectories are those of one run, bit by bit."""
    words = ["--ensemble", "langevin", "--steps", "120"]
    words += ["--calculator-args", f"folder={tmp_path}", "seconds=0.003"]

    def run(out: str, last: int | None = None) -> int:
        """Exit status; with `last`, killed before the calculation after this line of the log ends."""
        hold = tmp_path / "hold"
        hold.write_text(str(last)) if last else hold.unlink(missing_ok=True)
        process = CONTEXT.Process(target=saving_often, args=(molecules, tmp_path / out, words))
        process.start()
        state = tmp_path / out / "state" / "state_0000.npz"
        before = state.stat().st_mtime_ns if state.exists() else 0
        while last and process.exitcode is None and not (state.exists() and state.stat().st_mtime_ns != before):
            time.sleep(0.005)
        if last:
            time.sleep(0.1)
            process.kill()
        process.join(100)
        return process.exitcode

    assert [run("killed", last=200), run("killed", last=300), run("killed")] == [-9, -9, 0]
    (tmp_path / "log").unlink()
    assert run("whole") == 0
    assert result(tmp_path / "killed") == result(tmp_path / "whole")
    for path in sorted((tmp_path / "whole" / "trajectories").iterdir()):
        assert (tmp_path / "killed" / "trajectories" / path.name).read_bytes() == path.read_bytes()
    count = len((tmp_path / "log").read_text().splitlines())
    assert run("whole") == 0  # everything is known
    assert len((tmp_path / "log").read_text().splitlines()) == count


def test_a_smooth_potential_has_slope_2(molecules, tmp_path, capsys):
    words = ["--time-step-test", "--time-step", "0.4", "--steps", "240", "--seeds", "2"]
    assert md(MORSE, molecules, tmp_path / "out", *words) == 0
    printed = capsys.readouterr().out
    assert "smooth in dynamics: yes" in printed
    test = json.loads((tmp_path / "out" / "result.json").read_text())["time_step_test"]
    assert test["slope"] == pytest.approx(2, abs=0.1) and test["flat"] == 0
    low, high = test["slope_interval"]
    assert 1.9 < low < test["slope"] < high < 2.1
    assert (tmp_path / "out" / "time_steps.png").stat().st_size > 10_000


def test_one_that_jumps_where_trajectories_go_is_flat(molecules, tmp_path, capsys):
    words = ["--time-step-test", "--time-step", "0.4", "--steps", "240"]
    words += ["--calculator-args", "jump=0.02", "edge=1.21"]
    assert md(MORSE, molecules, tmp_path / "out", *words) == 1
    assert "smooth in dynamics: no" in capsys.readouterr().out
    test = json.loads((tmp_path / "out" / "result.json").read_text())["time_step_test"]
    assert abs(test["slope"]) < 0.3 and test["flat"] == 3


def test_one_trajectory_that_is_flat_is_enough():
    """A mean near 2 does not hide it; what ended at the smallest step is held against the model, too."""
    rng = np.random.default_rng(0)
    wave = rng.standard_normal(100)
    steps = [1.0, 0.5, 0.25, 0.125]
    smooth = [[made(wave * step**2) for _ in range(20)] for step in steps]
    assert judge(steps, smooth)["smooth"] and judge(steps, smooth)["slope"] == pytest.approx(2)
    flat = [[*same[:-1], made(wave)] for same in smooth]
    assert judge(steps, flat)["slope"] > 1.85 and judge(steps, flat)["smooth"] is False
    broken = [*smooth[:-1], [*smooth[-1][:-1], made(wave, end=End(3, "hot"))]]
    assert judge(steps, broken)["smooth"] is False and judge(steps, broken)["complete"] == 19
    early = [[made(wave, end=End(3, "hot"))], *([made(wave)] for _ in steps[1:])]
    assert judge(steps, early)["smooth"] is None
    free = [[*same, made(np.zeros(100))] for same in smooth]
    assert judge(steps, free)["smooth"] and judge(steps, free)["usable"] == 20
    assert judge(steps, [[made(np.zeros(100))]] * 4)["smooth"] is None
    assert deviation(made([0.0, 0.002])) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0"], "must be at least 1"),
        (["--picoseconds", "-1"], "--picoseconds: -1 is not a time of at least one step of 0.5 fs"),
        (["--picoseconds", "inf"], "--picoseconds: inf is not"),
        (["--steps", "5", "--picoseconds", "1"], "both say how long"),
        (["--time-step", "0"], "time_step: 0.0 is not a number above 0"),
        (["--ensemble", "npt"], "invalid choice: 'npt'"),
        (["--final-temperature", "500"], "nve has no thermostat"),
        (["--time-step-test", "--ensemble", "langevin"], "energy is conserved in nve only"),
        (["--device", "cpu"], "is a calculator"),
        (["--structures", "molecule.xyz"], "molecule.xyz: no such file; did you mean molecules.xyz"),
    ],
)
def test_bad_input_is_one_line(molecules, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert md(MORSE, molecules, tmp_path / "out", *words) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert message in printed.err and not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(molecules, tmp_path, capsys):
    assert md(MORSE, molecules, tmp_path / "out", "--steps", "10") == 0
    before = (tmp_path / "out" / "result.json").read_bytes()
    for words, what in (
        (["--steps", "20"], "steps 10, not 20"),
        (["--steps", "10", "--seeds", "2"], "seeds"),
        (["--steps", "10", "--calculator-args", "jump=0.1"], "another model"),
        (["--steps", "10", "--time-step-test"], "kind"),
    ):
        assert md(MORSE, molecules, tmp_path / "out", *words) == 2
        assert what in capsys.readouterr().err
    assert (tmp_path / "out" / "result.json").read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert md(MORSE, molecules, tmp_path / "mine") == 2
    assert "neither empty nor a folder of md" in capsys.readouterr().err
