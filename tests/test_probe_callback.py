"""The probe in the loop: what it logs are the jumps of the weights that are saved, and selection heeds them."""

import csv
import json
import math
from functools import partial
from pathlib import Path

import pytest
import tiny_run
import torch
from bsct_runs import Seen, task_and_data, trainer_of
from pytorch_lightning.callbacks import EMAWeightAveraging, ModelCheckpoint

from callbacks.measured import check_monitors
from callbacks.probe import KEYS, Probe, largest
from hydra_plugins.mlip_design_sweeps._measured import check_measured
from mlip_design import cli
from mlip_design.bsct.probe.walk import find_path, walk
from mlip_design.checkpoint import load_potential
from mlip_design.evaluator import predict
from mlip_design.structures import read_structures

PROBED = ["callbacks=[default,probe]", "callbacks.probe.structures=[2]", "callbacks.probe.paths=[swap]"]
PROBED += ["callbacks.probe.max_evaluations=1000", "model.neighbors.n_neighbors=3"]
JUMP = "val/probe/force_jump"


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv."""
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def probe(**arguments) -> Probe:
    """The callback with a test's defaults."""
    defaults = {"structures": [2], "paths": ["swap"], "every_n_epochs": 1, "max_evaluations": 1000}
    return Probe(**(defaults | {"max_atoms": 512} | arguments))


def measured(checkpoint: Path) -> float:
    """The largest jump of forces of a checkpoint, on what `PROBED` says, eV/Å."""
    structure = list(read_structures(Path(tiny_run.option("data.val"))))[2]
    potential = load_potential(checkpoint).double()
    path = find_path(structure, "swap", potential.cutoff)
    return walk(partial(predict, potential, max_atoms=512), path, 1000).largest_force_jump


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder of two runs of three epochs, of a model that jumps and one that does not."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("baseline", "smooth_attn"):
        overrides = [f"model={name}", *PROBED, "trainer.max_epochs=3", "optimizer.lr=0.03", "schedule.final=1"]
        tiny_run.run([*tiny_run.inputs(), *overrides], folder / name)
    return folder


def test_logged_jump_is_that_of_the_saved_weights(runs):
    """A failure means that the probe saw other weights than the averaged ones that go into the checkpoint."""
    last = runs / "baseline" / "checkpoints" / "last.ckpt"
    logged = float(rows(runs / "baseline")[-1][JUMP])
    assert logged == pytest.approx(measured(last), rel=1e-6)
    raw = torch.load(last, weights_only=True)
    raw["state_dict"] = raw["current_model_state"]
    torch.save(raw, runs / "raw.ckpt")
    assert logged != pytest.approx(measured(runs / "raw.ckpt"), rel=1e-4)


def test_it_is_measured_in_the_last_epoch_only(runs):
    assert [bool(row[JUMP]) for row in rows(runs / "baseline")] == [False, False, True]
    metrics = json.loads((runs / "smooth_attn" / "results.json").read_text())["metrics"]
    assert (metrics[JUMP], metrics["val/probe/energy_jump"]) == (0, 0)
    assert metrics["val/probe/seconds"] > 0


def test_selection_marks_the_model_that_jumps_and_no_other(runs, tmp_path, capsys):
    file = tmp_path / "selected.json"
    assert cli.main(["select", str(runs), "--json", str(file)]) == 0
    said = {name: " ".join(why) for name, why in json.loads(file.read_text())["warnings"].items()}
    assert [name for name, why in said.items() if "jumps: val force jump" in why] == ["model=baseline"]
    assert "probed for jumps" not in capsys.readouterr().out


def test_no_stale_value_is_visible_to_other_callbacks(tmp_path):
    seen, (task, data) = Seen(), task_and_data(tmp_path)
    callbacks = [EMAWeightAveraging(decay=0.9, use_buffers=False), seen, probe(every_n_epochs=2)]
    trainer = trainer_of(tmp_path, *callbacks, max_epochs=3, num_sanity_val_steps=1)
    trainer.fit(task, data)
    assert [JUMP in names for names in seen.names] == [False, False, True, False]
    assert [type(callback) for callback in trainer.callbacks[:2]] == [Probe, EMAWeightAveraging]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"structures": [0, 99]}, r"callbacks\.probe\.structures: 99 is not from 0 to 34"),
        ({"paths": ["swp"]}, r"callbacks\.probe\.paths: swp: .*did you mean 'swap'"),
        ({"paths": []}, r"callbacks\.probe: structures \[2\] of data\.val have no path"),
    ],
)
def test_what_is_not_there_is_refused_before_training(tmp_path, arguments, message):
    task, data = task_and_data(tmp_path)
    with pytest.raises(ValueError, match=message):
        trainer_of(tmp_path, probe(**arguments)).fit(task, data)


def test_monitors_and_objectives(tmp_path):
    task, _ = task_and_data(tmp_path)
    best = ModelCheckpoint(tmp_path, monitor=JUMP, save_on_train_epoch_end=True)
    check_monitors({"probe": probe(), "best": best}, task)
    with pytest.raises(ValueError, match="is not measured"):
        check_monitors({"best": best}, task)
    callback = probe(every_n_epochs=2)
    with pytest.raises(ValueError, match=r"measured every 2 \(callbacks\.probe\.every_n_epochs"):
        task, data = task_and_data(tmp_path)
        trainer_of(tmp_path, callback, best, max_epochs=2).fit(task, data)
    config = tiny_run.compose([*tiny_run.inputs(), *PROBED], tmp_path)
    check_measured([*KEYS, "val/forces_mae"], config)
    with pytest.raises(ValueError, match=f"did you mean {JUMP}"):
        check_measured(["val/probe/force_jmp"], config)
    config.callbacks.probe.every_n_epochs = 3
    with pytest.raises(ValueError, match="the probe is measured every 3 epochs, not after the last of 2"):
        check_measured([JUMP], config)


@pytest.mark.parametrize("is_broken", [True, False], ids=["nan weights", "few evaluations"])
def test_what_could_not_be_walked_is_not_called_smooth(tmp_path, is_broken):
    task, data = task_and_data(tmp_path)
    callback = probe() if is_broken else probe(max_evaluations=10)
    if is_broken:
        with torch.no_grad():
            next(task.potential.parameters()).fill_(math.nan)
    with pytest.warns(UserWarning, match="probe of structure 2, swap .*(not finite|max_evaluations = 10)"):
        (metrics, *_) = trainer_of(tmp_path, callback).validate(task, data, verbose=False)
    assert math.isnan(metrics[JUMP])
    assert (largest([0.0, math.nan, 0.2]), largest([0.0, 0.0])) == (0.2, 0.0)
    assert math.isnan(largest([0.0, math.nan]))


def test_two_processes_log_what_one_logs(tmp_path):
    """Same weights (learning rate 0) and three walks to share."""
    overrides = ["model=baseline", *PROBED, "callbacks.probe.structures=[2,5,9]"]
    overrides = [*tiny_run.inputs(), *overrides, "optimizer.lr=0", "trainer.max_epochs=1", "batching.max_atoms=16"]
    tiny_run.run(overrides, tmp_path / "one")
    assert [tiny_run.finish(process) for process in tiny_run.start_ranks(overrides, tmp_path / "two")] == [0, 0]
    expected, found = (float(rows(tmp_path / name)[-1][JUMP]) for name in ("one", "two"))
    assert found == pytest.approx(expected, rel=1e-6) and expected > 1e-3
