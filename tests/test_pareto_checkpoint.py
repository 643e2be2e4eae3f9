"""The epochs of a run that are kept: those on the front of its metrics, with the weights that were scored."""

import csv
import signal
from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
from test_results import forces_mae, loader

from mlip_design.checkpoint import load_potential
from mlip_design.selection import pareto

OBJECTIVES = ("val/forces_mae", "val/bsct/full_smoothness")
OVERRIDES = ["callbacks=[default,pareto]", "trainer.max_epochs=5", "optimizer.lr=0.03", "schedule.final=1"]


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv."""
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def kept(folder: Path) -> list[str]:
    """Names of the checkpoints of the front."""
    return sorted(path.name for path in (folder / "checkpoints" / "front").iterdir())


def expected(folder: Path) -> list[str]:
    """Names that the front of metrics.csv asks for."""
    points = np.array([[float(row[name]) for name in OBJECTIVES] for row in rows(folder)])
    return [f"epoch={epoch}.ckpt" for epoch in np.flatnonzero(pareto.front(points))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Folder of a run that nobody disturbed; some of its epochs are on the front for a while only."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    tiny_run.run([*tiny_run.inputs(), *OVERRIDES], folder)
    return folder


def test_the_front_of_the_epochs_is_kept(whole):
    assert kept(whole) == expected(whole)
    assert 1 < len(kept(whole)) < len(rows(whole))


def test_weights_are_those_that_were_scored(whole, tmp_path):
    """The error of the kept weights is that of their epoch, not of another one nor of the weights before averaging."""
    batches = list(loader("val", tiny_run.inputs(), tmp_path))
    scored = [float(row["val/forces_mae"]) for row in rows(whole)]
    for name in kept(whole):
        path = whole / "checkpoints" / "front" / name
        epoch = torch.load(path, weights_only=True)["epoch"]
        assert name == f"epoch={epoch}.ckpt"
        found = forces_mae(load_potential(path), batches)
        assert found == pytest.approx(scored[epoch], rel=1e-6)
        others = [value for other, value in enumerate(scored) if other != epoch]
        assert not any(found == pytest.approx(value, rel=1e-6) for value in others)


@pytest.mark.parametrize(("hook", "call"), [("on_save_checkpoint", 8), ("on_train_epoch_start", 4)])
def test_killed_and_resumed(tmp_path, whole, hook, call):
    """Killed between the checkpoint of the front and last.ckpt, or later: the front is the same in the end."""
    overrides = [*tiny_run.inputs(), *OVERRIDES, *tiny_run.disturb(hook, call, "SIGKILL")]
    assert tiny_run.finish(tiny_run.start(overrides, tmp_path)) == -signal.SIGKILL
    assert tiny_run.finish(tiny_run.start(overrides, tmp_path, resume=True)) == 0
    assert kept(tmp_path) == kept(whole) == expected(tmp_path)


def test_epochs_without_a_score_are_passed_over(tmp_path):
    overrides = [*OVERRIDES, "callbacks.bsct.every_n_epochs=2", "trainer.max_epochs=3"]
    tiny_run.run([*tiny_run.inputs(), *overrides], tmp_path)
    assert kept(tmp_path) == ["epoch=1.ckpt"]


def test_a_run_without_any_score_is_told(tmp_path):
    overrides = [*OVERRIDES, "callbacks.bsct.every_n_epochs=2", "trainer.max_epochs=1"]
    with pytest.warns(UserWarning, match="kept no epoch: none had val/forces_mae, val/bsct/full_smoothness"):
        tiny_run.run([*tiny_run.inputs(), *overrides], tmp_path)
    assert not (tmp_path / "checkpoints" / "front").exists()
