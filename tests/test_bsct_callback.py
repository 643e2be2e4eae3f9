"""BSCT in the loop: what it logs is the score of the weights that are saved, never that of earlier ones."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
from bsct_runs import MONITOR, Seen, bsct, task_and_data, trainer_of
from pytorch_lightning.callbacks import Callback

from callbacks.bsct import BSCT, logged_keys, summarize
from mlip_design.bsct import load_scans, score_scan, zero_force_score
from mlip_design.bsct.runner import predict_scans, scan_batches
from mlip_design.checkpoint import load_potential
from mlip_design.potential import Potential


class Snapshots(Callback):
    """Keeps the last checkpoint of every epoch."""

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.save_checkpoint(Path(trainer.default_root_dir) / f"epoch_{trainer.current_epoch}.ckpt")


def rescored(potential: Potential, scans: list) -> dict[str, float]:
    """What BSCT must log of a potential."""
    batches = scan_batches(scans, potential.cutoff, 2048, potential.dtype)
    predictions = predict_scans(potential, scans, batches, "cpu")
    scores = {
        scan.name: {**score_scan(scan, *prediction), **zero_force_score(scan)}
        for scan, prediction in zip(scans, predictions, strict=True)
    }
    return summarize(scores, scans)[0]


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv."""
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Folder of a finished run of three epochs in which BSCT is due in the second only."""
    folder = tmp_path_factory.mktemp("runs") / "every_2"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_run, "Snapshots", Snapshots, raising=False)
        overrides = [
            "trainer.max_epochs=3",
            "trainer.num_sanity_val_steps=2",
            "callbacks.bsct.every_n_epochs=2",
            "optimizer.lr=0.03",
            "+callbacks.snapshots._target_=tiny_run.Snapshots",
        ]
        tiny_run.run([*tiny_run.inputs(), *overrides], folder)
    return folder


def test_logged_values_are_those_of_the_saved_weights(finished):
    """A failure means that BSCT saw other weights than the averaged ones that go into the checkpoint."""
    row, scans = rows(finished)[1], load_scans(tiny_run.option("scans.val.root"))
    expected = rescored(load_potential(finished / "epoch_1.ckpt"), scans)
    raw = torch.load(finished / "epoch_1.ckpt", weights_only=True)
    raw["state_dict"] = raw["current_model_state"]
    torch.save(raw, finished / "raw.ckpt")
    unaveraged = rescored(load_potential(finished / "raw.ckpt"), scans)
    for key, value in expected.items():
        assert float(row[f"val/bsct/{key}"]) == pytest.approx(value, rel=1e-5), key
    assert unaveraged["full_energy_mae"] != pytest.approx(expected["full_energy_mae"], rel=1e-4)
    assert {f"val/bsct/{key}" for key in (*expected, "seconds")} == set(logged_keys(scans))


def test_test_values_are_those_of_the_best_checkpoint(finished):
    metrics = json.loads((finished / "results.json").read_text())["metrics"]
    scans = load_scans(tiny_run.option("scans.test.root"))
    for key, value in rescored(load_potential(finished), scans).items():
        assert metrics[f"test/bsct/{key}"] == pytest.approx(value, rel=1e-5), key


def test_skipped_epochs_have_no_values(finished):
    present = [bool(row["val/bsct/full_smoothness"]) for row in rows(finished)]
    assert present == [False, True, False]
    metrics = json.loads((finished / "results.json").read_text())["metrics"]
    assert not any(name.startswith("val/bsct/") for name in metrics)
    assert "val/forces_mae" in metrics


def test_cost_is_recorded(finished):
    cost = json.loads((finished / "results.json").read_text())["cost"]
    assert 0 < cost["bsct_seconds"] < cost["seconds"]


def test_worst_scans_are_drawn(finished):
    """Drawn in the first evaluation and after the test, worst first, with the default of one figure here."""
    figures = sorted(str(path.relative_to(finished / "figures")) for path in finished.glob("figures/*/*.png"))
    assert [path.split("/")[0] for path in figures] == ["test", "val_epoch_001"]
    scans = load_scans(tiny_run.option("scans.test.root"))
    potential = load_potential(finished)
    predictions = predict_scans(
        potential, scans, scan_batches(scans, potential.cutoff, 2048, torch.float32), "cpu"
    )
    scores = [score_scan(s, *p)["full_smoothness"] for s, p in zip(scans, predictions, strict=True)]
    worst = scans[int(np.argmax(scores))].name.replace("/", "_")
    assert figures[0] == f"test/worst_1_{worst}.png"


def test_no_stale_value_is_visible_to_other_callbacks(tmp_path):
    seen, (task, data) = Seen(), task_and_data(tmp_path)
    callback = bsct(tiny_run.few_scans(count=1, step=20), every_n_epochs=2)
    trainer_of(tmp_path, callback, seen, max_epochs=4).fit(task, data)
    assert ["val/bsct/full_smoothness" in names for names in seen.names] == [False, True, False, True]
    assert all("val/forces_mae" in names for names in seen.names)


def test_sanity_check_is_skipped(tmp_path):
    seen, (task, data) = Seen(), task_and_data(tmp_path)
    callback = bsct(tiny_run.few_scans(count=1, step=20))
    trainer_of(tmp_path, callback, seen, num_sanity_val_steps=1).fit(task, data)
    assert ["val/bsct/full_smoothness" in names for names in seen.names] == [False, True]


def test_validate_and_test_alone(tmp_path):
    """trainer.validate and trainer.test score too, whatever the cadence."""
    scans, (task, data) = tiny_run.few_scans(count=2, step=10), task_and_data(tmp_path)
    callback = BSCT({"val": scans, "test": scans[:1]}, every_n_epochs=5, max_atoms=512, n_worst=1, draw_every=1)
    trainer = trainer_of(tmp_path, callback, limit_val_batches=1.0)
    (known,) = trainer.validate(task, data, verbose=False)
    (new,) = trainer.test(task, data, verbose=False)
    expected = rescored(task.potential, scans)["full_smoothness"]
    assert known["val/bsct/full_smoothness"] == pytest.approx(expected, rel=1e-5)
    assert new["test/bsct/bond/C-C"] == pytest.approx(new["test/bsct/full_smoothness"])
    assert "val/forces_mae" in known and "test/forces_mae" in new


def test_predictions_that_are_not_finite(tmp_path):
    """NaN weights give NaN scores and a warning, the worst scan is still drawn, and nothing crashes."""
    task, data = task_and_data(tmp_path)
    callback = bsct(tiny_run.few_scans(count=2, step=20), n_worst=1)
    with torch.no_grad():
        next(task.potential.parameters()).fill_(math.nan)
    with pytest.warns(UserWarning, match="not finite"):
        (metrics,) = trainer_of(tmp_path, callback).validate(task, data, verbose=False)
    assert math.isnan(metrics["val/bsct/full_smoothness"])
    assert metrics["val/bsct/zero_full_smoothness"] > 0


def test_two_processes_log_what_one_logs(tmp_path):
    """Same weights (learning rate 0), uneven shares of scans and batches: equal metrics, one record."""
    monitored = ["optimizer.lr=0", "trainer.max_epochs=1", f"callbacks.checkpoint.monitor={MONITOR}"]
    overrides = [*tiny_run.inputs(), *monitored, "batching.max_atoms=16", "callbacks.bsct.n_worst=2"]
    one, two = tmp_path / "one", tmp_path / "two"
    tiny_run.run(overrides, one)
    assert [tiny_run.finish(process) for process in tiny_run.start_ranks(overrides, two)] == [0, 0]
    expected, found = (json.loads((folder / "results.json").read_text()) for folder in (one, two))
    assert found["status"] == "finished"
    assert set(found["metrics"]) == set(expected["metrics"])
    for name, value in expected["metrics"].items():
        if not name.startswith("train/") and not name.endswith("/seconds"):
            assert found["metrics"][name] == pytest.approx(value, rel=2e-5), name
    figures = [sorted(path.name for path in folder.glob("figures/*/*")) for folder in (one, two)]
    assert figures[0] == figures[1] and len(figures[0]) == 4
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in one.iterdir())


def test_a_process_without_scans(tmp_path):
    """More processes than scans: the second has nothing to predict."""
    overrides = [*tiny_run.inputs(), "trainer.max_epochs=1", "batching.max_atoms=16"]
    root = tiny_run.write_scans(tiny_run.few_scans(count=1, step=20), tmp_path / "scan")
    overrides += [f"scans.val.root={root}", f"scans.test.root={root}"]
    folder = tmp_path / "run"
    assert [tiny_run.finish(process) for process in tiny_run.start_ranks(overrides, folder)] == [0, 0]
    assert float(rows(folder)[0]["val/bsct/full_smoothness"]) > 0
