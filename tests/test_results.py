"""The record of a run: complete, whole at any moment, and true of the weights that are kept."""

import csv
import json
import math
import signal
from pathlib import Path

import pytest
import tiny_run
import torch
from hydra.utils import instantiate
from pytorch_lightning.callbacks import EMAWeightAveraging

from callbacks.results import finite, replacing
from mlip_design.checkpoint import load_potential
from mlip_design.graph import AtomGraph
from mlip_design.potential import Potential

KEYS = ["schema", "status", "reason", "seed", "overrides", "metrics", "best", "cost", "budget", "data", "versions"]


def record(folder: Path) -> dict:
    """results.json."""
    return json.loads((folder / "results.json").read_text())


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv."""
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def loader(split: str, overrides: list[str], folder: Path):
    """Batches of a split, in the order of the first epoch."""
    config = tiny_run.compose(overrides, folder)
    return instantiate(config.batching)(splits=instantiate(config.data)).loader(
        split, 32, shuffle=split == "train"
    )


def forces_mae(potential: Potential, batches: list[AtomGraph]) -> float:
    """Mean absolute error of the force components, eV/Å."""
    errors = [potential(graph).forces - graph.forces for graph in batches]
    return torch.cat(errors).double().abs().mean().item()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Folder of a finished run of three epochs whose last is not the best."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_run, "Drifting", Drifting, raising=False)
        overrides = ["seed=3", "trainer.max_epochs=3", "callbacks.ema._target_=tiny_run.Drifting"]
        tiny_run.run([*tiny_run.inputs(), *overrides], folder)
    return folder


class Drifting(EMAWeightAveraging):
    """Averaging that spoils the averaged weights after the second epoch, so that the best epoch is not the last."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            for parameter in self._average_model.parameters():
                parameter.data.mul_(5)


def test_schema(finished):
    result = record(finished)
    assert list(result) == KEYS
    assert (result["schema"], result["status"], result["reason"], result["seed"]) == (1, "finished", None, 3)
    assert "seed=3" in result["overrides"]
    assert {"val/forces_mae", "val/energy_mae_per_atom", "test/forces_mae", "val/bsct/full_smoothness"} <= set(
        result["metrics"]
    )
    assert {"seconds", "seconds_per_step", "bsct_seconds", "parameters"} == set(result["cost"])
    assert all(value > 0 for value in result["cost"].values())
    assert set(result["data"]) == {"train", "val", "test"}
    assert {"mlip-design", "torch", "pytorch-lightning"} <= set(result["versions"])
    assert (finished / "config.yaml").exists()
    assert not list(finished.glob(".*"))


def test_one_row_an_epoch(finished):
    table = rows(finished)
    assert [row["epoch"] for row in table] == ["0", "1", "2"]
    assert [row["step"] for row in table] == ["3", "6", "9"]
    for row in table:
        assert all(math.isfinite(float(value)) for value in row.values())
        assert not any(name.endswith("_step") for name in row)
    metrics = record(finished)["metrics"]
    assert float(table[-1]["val/forces_mae"]) == metrics["val/forces_mae"]
    assert float(table[-1]["train/loss"]) == metrics["train/loss"]


def test_best_is_the_best_row_and_checkpoint(finished):
    best = record(finished)["best"]
    assert best["monitor"] == "val/forces_mae"
    assert best["epoch"] < 2
    assert best["val/forces_mae"] == min(float(row["val/forces_mae"]) for row in rows(finished))
    assert torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)["epoch"] == best["epoch"]
    assert torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2


def test_test_metrics_are_those_of_the_best_averaged_weights(finished, tmp_path):
    batches = list(loader("test", tiny_run.inputs(), tmp_path))
    expected = forces_mae(load_potential(finished), batches)
    assert record(finished)["metrics"]["test/forces_mae"] == pytest.approx(expected, rel=1e-6)
    last = load_potential(finished / "checkpoints" / "last.ckpt")
    assert forces_mae(last, batches) != pytest.approx(expected, rel=1e-3)


def test_training_loss_is_the_mean_of_the_epoch(tmp_path):
    """With a learning rate of 0 it can be computed from the saved weights: three batches, weighted by structures."""
    overrides = [*tiny_run.inputs(), "optimizer.lr=0", "trainer.max_epochs=1"]
    results = tiny_run.run(overrides, tmp_path / "run")
    potential = load_potential(tmp_path / "run")
    loss = instantiate(tiny_run.compose(overrides, tmp_path).loss)
    batches = [graph for graph, _ in zip(loader("train", overrides, tmp_path), range(3), strict=False)]
    values = [loss(potential(graph), graph, potential.scale).item() for graph in batches]
    counts = [graph.n_graphs for graph in batches]
    mean = sum(value * count for value, count in zip(values, counts, strict=True)) / sum(counts)
    assert results.history[0]["train/loss"] == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize(
    ("signal_name", "exit_status", "reason"),
    [("SIGTERM", 128 + signal.SIGTERM, "SIGTERM: 1 of 2"), ("SIGINT", 1, "Ctrl-C: 1 of 2")],
)
def test_stopped_by_a_signal(tmp_path, signal_name, exit_status, reason):
    overrides = [*tiny_run.inputs(), *tiny_run.disturb("on_train_batch_end", 4, signal_name)]
    assert tiny_run.finish(tiny_run.start(overrides, tmp_path)) == exit_status
    result = record(tmp_path)
    assert result["status"] == "stopped" and result["reason"].startswith(reason)
    assert len(rows(tmp_path)) == 1 and result["metrics"]["val/forces_mae"] > 0


def test_diverged(tmp_path):
    """Steps far too large: the loss overflows."""
    with pytest.raises(RuntimeError, match="training loss became"):
        tiny_run.run([*tiny_run.inputs(), "optimizer.lr=1e30", "trainer.gradient_clip_val=null"], tmp_path)
    result = record(tmp_path)
    assert result["status"] == "diverged" and "in epoch 0" in result["reason"]


def test_failed(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTURB", "1")
    with pytest.raises(MemoryError):
        tiny_run.run([*tiny_run.inputs(), *tiny_run.disturb("on_train_epoch_start", 2, "MemoryError")], tmp_path)
    result = record(tmp_path)
    assert (result["status"], result["reason"]) == ("failed", "MemoryError: planted")
    assert len(rows(tmp_path)) == 1


def test_refused_before_it_started(tmp_path):
    """A mistake in the configuration leaves nothing behind."""
    with pytest.raises(ValueError, match="did you mean"):
        tiny_run.run([*tiny_run.inputs(), "callbacks.checkpoint.monitor=val/bsct/smoothness"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_replacing_keeps_the_old_file_until_the_new_is_whole(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("old")
    with pytest.raises(KeyError), replacing(path) as file:
        file.write("half of the ne")
        raise KeyError
    assert path.read_text() == "old"
    with replacing(path) as file:
        file.write("new")
    assert path.read_text() == "new"


def test_json_has_no_nan():
    value = {"a": [1.0, math.nan], "b": {"c": -math.inf, "d": "nan"}}
    assert finite(value) == {"a": [1.0, None], "b": {"c": None, "d": "nan"}}
