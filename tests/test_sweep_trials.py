"""Trials of a grid, with training: isolated, what goes wrong recorded and passed over; hopeless ones stopped early."""

import signal
from pathlib import Path

import pytest
import tiny_run
from sweep_runs import call, files, planted, quick, record, statuses, sweep, untimed

from mlip_design.sweep.record import history

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
    wandb_files = pytest.importorskip("wandb_files")
    for name, exit_code in (("1", 1), ("2", 1), ("3", 0)):
        (path,) = (grid / name / "wandb").glob("offline-run-*/*.wandb")
        records = wandb_files.finished_records(path)
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
        assert done.out.count("trial 0 failed: model.basis.width: -1 is not a number above 0") == 1
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
