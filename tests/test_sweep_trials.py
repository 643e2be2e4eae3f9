"""Trials of a sweep, with training: isolated, what goes wrong recorded and passed over, a killed sweep resumed."""

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny_run

import train
from mlip_design.sweep.record import history
from mlip_design.sweep.storage import JOURNAL

SEARCH = ["-m", "hydra/sweeper=pareto", "hydra.sweeper.sampler=grid"]
DISTURBED = {"DISTURB": "1"}


def quick() -> list[str]:
    """Overrides of a tiny run that draws no figures."""
    return [*(word for word in tiny_run.inputs() if "n_worst" not in word), "callbacks.bsct.n_worst=0"]


def planted(what: str, calls: str) -> list[str]:
    """Overrides of a sweep whose trials are disturbed at the given batch of training; at 100 they are not."""
    return [*tiny_run.disturb("on_train_batch_end", 100, what), f"callbacks.zz_disturb.call={calls}"]


@dataclass
class Done:
    """What a command left: its exit status and what it printed to stdout and stderr."""

    status: int
    out: str
    err: str


def call(*words: str, disturbed: bool = False) -> Done:
    """Run `python train.py` with these words."""
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/out", f"{folder}/err"]
        process = tiny_run.CONTEXT.Process(target=printing, args=(files, words, DISTURBED if disturbed else {}))
        process.start()
        return Done(tiny_run.finish(process), *(Path(file).read_text() for file in files))


def printing(files: list[str], words: tuple[str, ...], environment: dict[str, str]) -> None:
    """What a process of `call` does."""
    for descriptor, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    tiny_run.call_main(words, environment)


def sweep(folder: Path, *words: str, disturbed: bool = True) -> Done:
    """Run a multirun of tiny runs."""
    return call(*words, *quick(), f"hydra.sweep.dir={folder}", disturbed=disturbed)


def record(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def statuses(folder: Path) -> dict[str, str]:
    """Run folder -> status."""
    return {file.parent.name: record(file.parent)["status"] for file in sorted(folder.glob("*/results.json"))}


def untimed(folder: Path) -> tuple[list[dict], dict]:
    """The rows of metrics.csv and the metrics of results.json, without times."""
    with open(folder / "metrics.csv", newline="") as file:
        rows = [{k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(file)]
    return rows, {k: v for k, v in record(folder)["metrics"].items() if "seconds" not in k}


def files(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder with its content."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Grids


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Path:
    """Folder of a grid with bad input, a crash, a run that diverges and a good run, which logs to W&B."""
    folder = tmp_path_factory.mktemp("sweeps") / "grid"
    words = ["-m", "logger=wandb", *planted("MemoryError", "1,100"), "optimizer.lr=1e30,0.01"]
    assert sweep(folder, *words).status == 1
    return folder


def test_what_goes_wrong_is_recorded_and_passed_over(grid):
    assert statuses(grid) == {"0": "failed", "1": "failed", "2": "diverged", "3": "finished"}
    assert record(grid / "1")["reason"] == "MemoryError: planted"
    assert "loss became" in record(grid / "2")["reason"]
    assert "MemoryError: planted" in (grid / "1" / "traceback.txt").read_text()
    assert not (grid / "3" / "traceback.txt").exists()


def test_a_trial_is_what_the_same_run_alone_is(grid, tmp_path):
    """After a crash and a divergence, to the last bit."""
    words = [*tiny_run.disturb("on_train_batch_end", 100, "MemoryError"), "optimizer.lr=0.01"]
    assert call(*words, *quick(), f"hydra.run.dir={tmp_path / 'alone'}").status == 0
    assert untimed(grid / "3") == untimed(tmp_path / "alone")
    assert len(untimed(grid / "3")[0]) == 2


def test_every_trial_has_a_wandb_run_of_its_own(grid):
    test_wandb = pytest.importorskip("test_wandb")
    for name, exit_code in (("1", 1), ("2", 1), ("3", 0)):
        (path,) = (grid / name / "wandb").glob("offline-run-*/*.wandb")
        records = list(test_wandb.read_records(path))
        assert [item.exit.exit_code for item in records if item.HasField("exit")] == [exit_code]
        assert {item.run.run_group for item in records if item.HasField("run")} == {"grid"}


def test_a_grid_of_other_overrides_is_refused_in_its_folder(grid):
    before = files(grid)
    done = sweep(grid, "-m", "seed=1,2")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: {grid} holds the runs of logger=wandb") and done.err.count("\n") == 1
    assert files(grid) == before


def test_bad_input_of_one_trial(tmp_path):
    """It never trains; the others do. A second call tries it again and keeps the others as they are."""
    for _ in range(2):
        done = sweep(tmp_path, "-m", "model.basis.width=-1,2")
        assert (done.status, done.err) == (1, "")
        assert statuses(tmp_path) == {"0": "failed", "1": "finished"}
        assert f"{tmp_path}: 1 failed, 1 finished" in done.out
        assert done.out.count("trial 0 failed: model.basis: ") == 1
    assert "finished before, kept" in done.out
    assert record(tmp_path / "0")["overrides"][0] == "model.basis.width=-1"


def test_a_grid_that_was_killed_goes_on(tmp_path):
    words = ["-m", *planted("SIGKILL", "100,4,101")]
    assert sweep(tmp_path, *words).status == -signal.SIGKILL
    assert statuses(tmp_path) == {"0": "finished", "1": "stopped"}
    assert len(history(tmp_path / "1")) == 1
    first = files(tmp_path / "0")
    assert sweep(tmp_path, *words, disturbed=False).status == 0
    assert statuses(tmp_path) == {"0": "finished", "1": "finished", "2": "finished"}
    assert files(tmp_path / "0") == first
    assert untimed(tmp_path / "0") == untimed(tmp_path / "1") == untimed(tmp_path / "2")


# Searches


def trials(folder: Path) -> list:
    """The trials of the study in a folder."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    return optuna.load_study(study_name="sweep", storage=storage).trials


def test_a_search_with_a_crash_and_a_divergence(tmp_path):
    words = [*planted("MemoryError", "choice(1, 100)"), "optimizer.lr=choice(1e30, 0.01)"]
    done = sweep(tmp_path, *SEARCH, *words)
    assert done.status == 1
    assert statuses(tmp_path) == {"0": "failed", "1": "failed", "2": "diverged", "3": "finished"}
    assert [trial.state.name for trial in trials(tmp_path)] == ["FAIL", "FAIL", "FAIL", "COMPLETE"]
    last, metrics = trials(tmp_path)[-1], record(tmp_path / "3")["metrics"]
    assert last.values == [metrics["val/bsct/full_smoothness"], metrics["val/forces_mae"]]
    assert "trial 1 failed: MemoryError: planted" in done.out and "front so far: 3" in done.out
    assert f"mlip-design select {tmp_path}" in done.out
    assert f"{tmp_path}: 1 diverged, 2 failed, 1 finished" in done.out


def test_a_search_that_was_killed_goes_on(tmp_path):
    words = [*SEARCH, *planted("SIGKILL", "choice(100, 4, 101)")]
    assert sweep(tmp_path, *words).status == -signal.SIGKILL
    assert [trial.state.name for trial in trials(tmp_path)] == ["COMPLETE", "RUNNING"]
    first = files(tmp_path / "0")
    assert sweep(tmp_path, *words, disturbed=False).status == 0
    assert [trial.state.name for trial in trials(tmp_path)] == ["COMPLETE"] * 3
    assert [trial.user_attrs["starts"] for trial in trials(tmp_path)] == [[0], [0, 1], [0]]
    assert files(tmp_path / "0") == first
    assert untimed(tmp_path / "0") == untimed(tmp_path / "1") == untimed(tmp_path / "2")
    journal = (tmp_path / JOURNAL).read_bytes()
    assert sweep(tmp_path, *words, disturbed=False).status == 0
    assert (tmp_path / JOURNAL).read_bytes() == journal


def test_a_trial_that_kills_its_process_twice_is_passed_over(tmp_path):
    words = [*SEARCH, *planted("SIGKILL", "choice(2, 100)")]
    assert [sweep(tmp_path, *words).status for _ in range(3)] == [-signal.SIGKILL, -signal.SIGKILL, 0]
    first, second = trials(tmp_path)
    assert (first.state.name, first.user_attrs["reason"]) == ("FAIL", "its process died twice after 0 epochs")
    assert second.state.name == "COMPLETE"


def test_two_workers_share_a_search(tmp_path):
    words = [*SEARCH, *quick(), "seed=range(0,6)", f"hydra.sweep.dir={tmp_path}"]
    workers = [tiny_run.command(*words) for _ in range(2)]
    assert [tiny_run.finish(worker) for worker in workers] == [0, 0]
    assert statuses(tmp_path) == {str(number): "finished" for number in range(6)}
    assert [trial.user_attrs["seed"] for trial in trials(tmp_path)] == list(range(6))
    assert all(trial.user_attrs["starts"] == [0] for trial in trials(tmp_path))
    assert len({trial.user_attrs["worker"] for trial in trials(tmp_path)}) == 2


def test_joblib_runs_trials_side_by_side(tmp_path):
    """In a process of its own: joblib starts others, which import everything."""
    words = [*SEARCH, "seed=1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2"]
    words = [*words, *quick(), f"hydra.sweep.dir={tmp_path}"]
    subprocess.run([sys.executable, train.__file__, *words], check=True, timeout=200, capture_output=True)
    assert statuses(tmp_path) == {"0": "finished", "1": "finished"}


def test_ray_runs_trials(tmp_path):
    pytest.importorskip("ray")
    assert sweep(tmp_path, *SEARCH, "seed=1,2", "hydra/launcher=ray_local", "hydra.sweeper.n_jobs=2").status == 0
    assert statuses(tmp_path) == {"0": "finished", "1": "finished"}


def test_blocks_of_the_usual_search(tmp_path):
    """`sweep=pareto` as it is: whatever blocks meet, a trial has the keys that they have."""
    inputs = [word for word in quick() if "n_neighbors" not in word]
    words = ["sweep=pareto", "hydra.sweeper.n_trials=5", "hydra.sweeper.sampler=random", *inputs]
    assert call(*words, f"hydra.sweep.dir={tmp_path}").status == 0
    assert set(statuses(tmp_path).values()) == {"finished"}
    for trial in trials(tmp_path):
        has_tau = "model.attention.tau" in trial.params
        assert has_tau == (trial.params["model/attention"] != "softmax")


BAD = {
    "metric": (["objectives=[val/force_mae]"], "'val/force_mae' is not measured; did you mean val/forces_mae?"),
    "metric of the test": (["objectives=[test/forces_mae]"], "'test/forces_mae' is not measured; did you mean"),
    "cost": (["objectives=[cost/second]"], "did you mean cost/seconds?"),
    "constraint": (["hydra.sweeper.constraint={metric: val/f, percent: 5}"], "'val/f' is not measured"),
    "cadence": (["callbacks.bsct.every_n_epochs=3"], "BSCT is measured every 3 epochs, not after the last of 2"),
    "key": (["model.basis.widht=choice(1,2)"], "model.basis.widht: no such key or group; did you mean"),
    "block": (["model/basis=choice(bessel,gausian)"], "there is no 'gausian' (did you mean 'gaussian'?)"),
    "group": (["model/bases=choice(bessel,gaussian)"], "did you mean 'model/basis'?"),
    "nothing varies": (["seed=3"], "nothing varies; add key=choice(...)"),
    "sampler": (
        ["hydra.sweeper.sampler=tp"],
        "'tp' is not one of tpe, nsga2, qmc, random, grid; did you mean 'tpe'?",
    ),
    "number": (["hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials: 0 is not a whole number of at least 1"),
    "single value": (["+hydra.sweeper.space={model.basis.width: 2}"], "model.basis.width=2 is no choice"),
    "data": (["data.train=nowhere.xyz"], "nowhere.xyz: no such file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_anything_is_written(tmp_path, case):
    overrides, message = BAD[case]
    varied = [] if case in ("nothing varies", "single value") else ["seed=1,2"]
    words = ["-m", "hydra/sweeper=pareto", *quick(), *varied, *overrides]
    done = call(*words, f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: ") and done.err.count("\n") == 1
    assert message in done.err
    assert not (tmp_path / "sweep").exists()


def test_a_study_of_another_space_is_refused(tmp_path):
    assert sweep(tmp_path, *SEARCH, "seed=1,2", "hydra.sweeper.n_trials=1").status == 0
    before = files(tmp_path)
    done = sweep(tmp_path, *SEARCH, "seed=1,2,3", "objectives=[val/forces_mae]")
    assert (done.status, done.out) == (2, "")
    told, asked = done.err.split(", not ")
    assert "objectives=val/bsct/full_smoothness,val/forces_mae" in told and "seed=1,2" in told
    assert "objectives=val/forces_mae" in asked and "seed=1,2,3" in asked
    assert files(tmp_path) == before


# Cheap first


def test_a_hopeless_trial_is_stopped_before_its_smoothness_is_measured(tmp_path):
    """At the same epoch as others; what they had later does not count."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "metrics.csv").write_text("epoch,val/forces_mae\n0,0.3\n1,0.0001\n")
    rule = ["callbacks=sweep", "trainer.max_epochs=3", "callbacks.trial.after=0.3", "callbacks.trial.factor=2"]
    inputs = [word for word in quick() if not word.startswith("trainer.max_epochs")]
    words = [*inputs, *rule, "+trainer.enable_progress_bar=false"]
    folder = tmp_path / "hopeless"
    assert call(*words, f"hydra.run.dir={folder}").status == 1
    result = record(folder)
    assert result["status"] == "stopped"
    assert result["reason"].startswith("hopeless: val/forces_mae") and "of run other then" in result["reason"]
    assert len(history(folder)) == 1
    assert not any("bsct" in name for name in result["metrics"])
    (tmp_path / "other" / "metrics.csv").write_text("epoch,val/forces_mae\n0,0.6\n1,0.0001\n")
    assert call(*words, f"hydra.run.dir={tmp_path / 'fair'}").status == 0
    assert "val/bsct/full_smoothness" in record(tmp_path / "fair")["metrics"]


def test_a_trial_out_of_time(tmp_path):
    words = ["callbacks=sweep", "callbacks.trial.max_seconds=0.001", "+trainer.enable_progress_bar=false"]
    with pytest.raises(Exception, match="out of time"):
        tiny_run.run([*quick(), *words], tmp_path)
    assert record(tmp_path)["status"] == "stopped"
    assert record(tmp_path)["reason"].startswith("out of time: ")
