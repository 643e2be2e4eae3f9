"""`mlip-design finalists`: fresh seeds, processes that may be killed, and whether the picks hold."""

import fcntl
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny_run
from conftest import ROOT
from run_records import write_record

from mlip_design.cli import main
from mlip_design.selection import compare, load_runs, retrain
from mlip_design.selection.finalists import confirm

GOOD = ["100_30", "120_15", "200_12"]
"""Variants on the front; the second is the knee."""


@pytest.fixture
def sweep(tmp_path, monkeypatch) -> Path:
    """A folder with one run of each of four variants, and a stand-in for training."""
    monkeypatch.setattr(retrain, "TRAIN", ROOT / "tests" / "fake_train.py")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return write_runs(tmp_path / "sweep", {name: name for name in [*GOOD, "210_31"]})


def write_runs(folder: Path, values: dict[str, str]) -> Path:
    """One run of seed 1 for each variant: model -> force MAE (meV/Å) and FSD (1/Å), as in `fake_train`."""
    for i, (model, numbers) in enumerate(values.items()):
        x, y = map(float, numbers.split("_"))
        write_record(folder / str(i), ["sweep=pareto", f"model={model}"], x / 1000, y)
    return folder


def calls(folder: Path) -> list[str]:
    """What was trained."""
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_the_front_is_trained_with_fresh_seeds(sweep, tmp_path, capsys):
    assert main(["finalists", str(sweep), "--seeds", "3", "--json", str(tmp_path / "out.json")]) == 0
    seeds = sorted(tuple(call.split()[:2]) for call in calls(tmp_path))
    assert seeds == sorted((f"model={name}", f"seed={seed}") for name in GOOD for seed in (2, 3, 4))
    printed = capsys.readouterr().out
    assert "3 on the front, seeds 2, 3, 4, in" in printed and "knee: model=120_15 holds; picked in" in printed
    found = json.loads((tmp_path / "out.json").read_text())
    assert [one["holds"] for one in found["confirmations"]] == [True, True]
    assert {variant["metrics"]["val/forces_mae"]["n"] for variant in found["after"]["variants"]} == {3}


def test_the_same_command_goes_on(sweep, tmp_path, monkeypatch, capsys):
    """Killed once, then two seeds more: finished ones are kept, the killed one is continued, nothing is done twice."""
    monkeypatch.setenv("KILLED", "3")
    assert main(["finalists", str(sweep), "--seeds", "2"]) == 1
    assert "stopped: still running or killed: 1 of 2 epochs (exit status -9, see" in capsys.readouterr().out
    monkeypatch.delenv("KILLED")
    assert main(["finalists", str(sweep), "--seeds", "2"]) == 0
    assert main(["finalists", str(sweep), "--seeds", "4", "--workers", "3"]) == 0
    fresh = [call for call in calls(tmp_path) if not call.startswith("resume=")]
    assert len(fresh) == len(set(fresh)) == 12
    assert len(calls(tmp_path)) - len(fresh) == 3
    runs, unreadable = load_runs([tmp_path / "sweep_finalists"])
    assert len(runs) == 12 and all(run.finished for run in runs) and not unreadable


def test_a_diverged_seed_is_named_and_not_repeated(sweep, tmp_path, capsys):
    write_record(sweep / "9", ["model=diverging"], 0.3, 5.0)
    for _ in range(2):
        assert main(["finalists", str(sweep), "--seeds", "1"]) == 0
        assert "diverged: training loss became nan" in capsys.readouterr().out
    assert len(calls(tmp_path)) == 4


def test_what_training_refuses_is_one_line(sweep, capsys):
    write_record(sweep / "9", ["model=refused"], 0.3, 5.0)
    assert main(["finalists", str(sweep), "--seeds", "1", "--workers", "4"]) == 2
    error = capsys.readouterr().err
    assert "was refused: error: model=refused: there is no 'refused'" in error and error.count("\n") == 1


def test_a_lucky_pick_does_not_hold(tmp_path):
    """The knee of the sweep owed its place to its seed."""
    before = write_runs(
        tmp_path / "before", {"lucky": "120_15", "100_30": "100_30", "200_12": "200_12", "solid": "125_18"}
    )
    after = tmp_path / "after"
    fresh = {"lucky": (0.12, 40.0), "solid": (0.125, 18.0), "100_30": (0.1, 30.0), "200_12": (0.2, 12.0)}
    for model, (x, y) in fresh.items():
        for seed in range(2, 7):
            write_record(after / f"{model}{seed}", [f"model={model}"], x + 0.001 * seed, y + 0.1 * seed, seed)
    selection = compare(load_runs([before])[0])
    again = compare(load_runs([after])[0], known=selection.variants)
    found = {one.rule: one for one in confirm(selection, again, 0.05)}
    knee = found["knee"]
    assert (knee.before, knee.after, knee.holds) == ("model=lucky", "model=solid", False)
    assert knee.shares["model=lucky"] < 0.01 and knee.shares["model=solid"] > 0.99
    difference = knee.differences["model=solid"]["val/bsct/full_smoothness"]
    assert difference.mean == pytest.approx(-22) and difference.high < 0
    assert difference.high - difference.mean == pytest.approx(2.306 * 0.1581139 / 5**0.5 * 2**0.5, rel=1e-3)
    assert found["epsilon"].holds


def test_seeds_that_scatter_leave_the_pick_open(tmp_path):
    """Two variants that differ less than their seeds: neither is picked nearly always."""
    for model, shift in (("a", 0.0), ("b", 0.3)):
        for seed, y in enumerate((10.0, 20.0, 30.0, 40.0), start=1):
            write_record(tmp_path / f"{model}{seed}", [f"model={model}"], 0.1, y + shift, seed)
    selection = compare(load_runs([tmp_path])[0])
    epsilon = confirm(selection, selection, 0.05)[0]
    assert 0.3 < epsilon.shares["model=a"] < 0.7 and epsilon.shares["model=a"] + epsilon.shares["model=b"] == 1
    difference = epsilon.differences["model=b"]["val/bsct/full_smoothness"]
    assert difference.low < 0 < difference.high


def test_from_nothing_to_a_picked_architecture(tmp_path, capsys):
    """The three commands of the README, at tiny size."""
    sweep = tmp_path / "sweep"
    search = ["sweep=pareto", "hydra.sweeper.n_trials=2", "model/neighbors=diff_knn", f"hydra.sweep.dir={sweep}"]
    assert tiny_run.finish(tiny_run.command(*search, *tiny_run.inputs())) == 0
    assert main(["select", str(sweep)]) == 0
    assert "2 variants, 2 of 2 runs" in capsys.readouterr().out
    assert main(["finalists", str(sweep), "--seeds", "1", "--workers", "2"]) == 0
    printed = capsys.readouterr().out
    for words in ("on the front, seeds 2, in", "seed=2: finished", "epsilon: attention="):
        assert words in printed


def test_what_another_process_trains_is_waited_for(sweep, tmp_path, monkeypatch):
    """The parent was killed, its trainings live on and hold their logs: they are not started a second time."""
    runs, unreadable = load_runs([sweep])
    (training,) = retrain.plan(compare(runs, unreadable=unreadable).variants[:1], 1, {1}, tmp_path / "out")
    training.folder.mkdir(parents=True)
    with open(training.folder.with_suffix(".log"), "a") as log, ThreadPoolExecutor(1) as pool:
        fcntl.flock(log, fcntl.LOCK_EX)
        waiting = pool.submit(retrain.train, training)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        write_record(training.folder, training.overrides, seed=training.seed)
        fcntl.flock(log, fcntl.LOCK_UN)
        assert waiting.result(timeout=60) == "finished before"
    assert calls(tmp_path) == []
