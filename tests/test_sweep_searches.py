"""Searches, with training: killed and continued, shared by workers, refused before anything is written."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_run
from sweep_runs import call, files, planted, quick, record, statuses, sweep, untimed

import train
from mlip_design.sweep.storage import JOURNAL

SEARCH = ["-m", "hydra/sweeper=pareto", "hydra.sweeper.sampler=grid"]


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
    assert f"sweep {tmp_path}: 4 trials (grid)" in done.out
    assert (
        f"{tmp_path}: 1 diverged, 2 failed, 1 finished\n  0, 1 failed: MemoryError: planted\n  2 diverged"
        in done.out
    )


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


def test_dynamics_as_an_objective(tmp_path):
    brief = ["n_structures=1", "relax_steps=2", "picoseconds=0.005"]
    words = ["callbacks=[default,dynamics]", *(f"callbacks.dynamics.{word}" for word in brief)]
    words += ["objectives=[val/md/fluctuation,val/forces_mae]", "seed=1,2"]
    assert sweep(tmp_path, *SEARCH, *words).status == 0
    assert all(trial.values[0] > 0 for trial in trials(tmp_path))


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
    "no metric": (["objectives=[]"], "objectives: [] is not a list of metrics, such as [val/forces_mae]"),
    "no list": (["objectives=val/forces_mae"], "objectives: val/forces_mae is not a list of metrics"),
    "cost": (["objectives=[cost/second]"], "did you mean cost/seconds?"),
    "constraint": (["hydra.sweeper.constraint={metric: val/f, percent: 5}"], "'val/f' is not measured"),
    "cadence": (["callbacks.bsct.every_n_epochs=3"], "BSCT is measured every 3 epochs, not after the last of 2"),
    "no dynamics": (["objectives=[val/md/drift]"], "'val/md/drift' is not measured"),
    "more is better": (
        ["callbacks=[default,dynamics]", "objectives=[val/md/survival]"],
        "'val/md/survival' is not measured",
    ),
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
