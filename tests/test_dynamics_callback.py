"""Dynamics in the loop: what it logs is what the weights that are saved do, and it keeps its place and cadence."""

import csv
import math
from pathlib import Path

import pytest
import tiny_run
import torch
from bsct_runs import Seen, task_and_data, trainer_of
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint

from callbacks.dynamics import KEYS, Dynamics
from callbacks.measured import check_monitors
from mlip_design.checkpoint import load_potential
from mlip_design.dynamics.force_field import PotentialForces
from mlip_design.dynamics.measure import measure, summarize
from mlip_design.dynamics.simulate import relax_all, simulate
from mlip_design.structures import read_structures

RUN = ["callbacks=[default,dynamics]", "callbacks.dynamics.n_structures=3", "callbacks.dynamics.picoseconds=0.01"]
RUN += ["callbacks.dynamics.relax_steps=10"]
DRIFT = "val/md/drift"


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv."""
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def dynamics(**changes) -> Dynamics:
    """The callback with a test's defaults."""
    arguments = {"n_structures": 3, "seeds": 1, "temperature": 300.0, "time_step": 0.5, "picoseconds": 0.01}
    return Dynamics(**(arguments | {"relax_steps": 10, "every_n_epochs": 1, "max_atoms": 512} | changes))


def fluctuation(checkpoint: Path) -> float:
    """Of a checkpoint, on what `RUN` says, meV/atom."""
    structures = list(read_structures(Path(tiny_run.option("data.val"))))
    chosen = {number: structures[number * len(structures) // 3] for number in range(3)}
    forces, protocol = PotentialForces(load_potential(checkpoint).double()), dynamics().protocol
    starts = relax_all(forces, chosen, protocol, 512)
    return summarize([measure(one, protocol) for one in simulate(forces, starts, protocol, [1], 512)])[
        "fluctuation"
    ]


def test_it_sees_the_weights_that_are_saved_in_the_last_epoch(tmp_path):
    """A failure means that it saw other weights than the averaged ones that go into the checkpoint."""
    tiny_run.run([*tiny_run.inputs(), *RUN, "optimizer.lr=0.03", "schedule.final=1"], tmp_path)
    logged = rows(tmp_path)
    assert [bool(row[DRIFT]) for row in logged] == [False, True]
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert float(logged[-1]["val/md/fluctuation"]) == pytest.approx(fluctuation(last), rel=1e-4)
    assert float(logged[-1]["val/md/survival"]) in (0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1)
    raw = torch.load(last, weights_only=True)
    raw["state_dict"] = raw["current_model_state"]
    torch.save(raw, tmp_path / "raw.ckpt")
    assert float(logged[-1]["val/md/fluctuation"]) != pytest.approx(fluctuation(tmp_path / "raw.ckpt"), rel=1e-2)


def test_no_stale_value_is_visible_and_it_comes_before_averaging(tmp_path):
    seen, (task, data) = Seen(), task_and_data(tmp_path)
    callbacks = [EMAWeightAveraging(decay=0.9, use_buffers=False), seen, dynamics(every_n_epochs=2)]
    trainer = trainer_of(tmp_path, *callbacks, max_epochs=3, num_sanity_val_steps=1)
    trainer.fit(task, data)
    assert [DRIFT in names for names in seen.names] == [False, False, True, False]
    assert [type(callback) for callback in trainer.callbacks[:2]] == [Dynamics, EMAWeightAveraging]


def test_a_model_that_explodes_does_not_survive(tmp_path):
    """Weights of NaN have no drift, and survival 0; training is not stopped by it."""
    task, data = task_and_data(tmp_path)
    with torch.no_grad():
        next(task.potential.parameters()).fill_(math.nan)
    (metrics, *_) = trainer_of(tmp_path, dynamics()).validate(task, data, verbose=False)
    assert metrics["val/md/survival"] == 0
    assert math.isnan(metrics[DRIFT]) and math.isnan(metrics["val/md/fluctuation"])


def test_monitors_and_arguments_are_checked_before_training(tmp_path):
    task, data = task_and_data(tmp_path)
    best = ModelCheckpoint(tmp_path, monitor=DRIFT, save_on_train_epoch_end=True)
    check_monitors({"dynamics": dynamics(), "best": best}, task)
    with pytest.raises(ValueError, match="is not measured"):
        check_monitors({"best": best}, task)
    with pytest.raises(ValueError, match=r"measured every 2"):
        trainer_of(tmp_path, dynamics(every_n_epochs=2), best, max_epochs=2).fit(task, data)
    for changes, message in (
        ({"seeds": 0}, "seeds"),
        ({"time_step": 0.0}, "time_step: 0.0 is not a number above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            dynamics(**changes)
    assert len(KEYS) == 5


def test_shares_of_ranks_are_what_one_process_finds(tmp_path):
    """Velocities hang on the number of a structure, not on those that move beside it."""
    (task, data), callback = task_and_data(tmp_path), dynamics(seeds=2)
    potential = task.potential.double().requires_grad_(False)
    structures = {number: data.splits["val"][number] for number in range(3)}
    whole = callback.measured(potential, structures)
    shared = [callback.measured(potential, dict(list(structures.items())[rank::2])) for rank in range(2)]
    shared = shared[0] | shared[1]
    assert whole.keys() == shared.keys() and len(whole) == 6
    for key, one in whole.items():
        assert one["fluctuation"] == pytest.approx(shared[key]["fluctuation"], rel=1e-4)
        assert one["mean_temperature"] == pytest.approx(shared[key]["mean_temperature"], rel=1e-6)
    assert whole[0, 1]["mean_temperature"] != pytest.approx(whole[0, 2]["mean_temperature"], rel=1e-6)


def test_two_processes_log_what_one_logs(tmp_path):
    """Same weights (learning rate 0) and three structures to share."""
    overrides = [*tiny_run.inputs(), *RUN, "optimizer.lr=0", "trainer.max_epochs=1", "batching.max_atoms=16"]
    tiny_run.run(overrides, tmp_path / "one")
    assert [tiny_run.finish(process) for process in tiny_run.start_ranks(overrides, tmp_path / "two")] == [0, 0]
    expected, found = (rows(tmp_path / name)[-1] for name in ("one", "two"))
    for key in ("val/md/drift", "val/md/fluctuation", "val/md/survival"):
        assert float(found[key]) == pytest.approx(float(expected[key]), rel=1e-4), key
    assert float(expected["val/md/fluctuation"]) > 0
