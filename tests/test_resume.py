"""A run that was killed and continued ends exactly as if it had never stopped: weights, records, everything."""

import csv
import json
import os
import signal
from pathlib import Path

import pytest
import tiny_run
import torch

OVERRIDES = ["trainer.max_epochs=3", "optimizer.lr=0.01"]
KILLS = {
    "in the middle of epoch 1": ("on_train_batch_end", 5),
    "right after a checkpoint": ("on_train_epoch_start", 2),
    "between best.ckpt and last.ckpt": ("on_save_checkpoint", 4),
    "before the first epoch ended": ("on_train_batch_end", 2),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Folder of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert tiny_run.finish(tiny_run.start([*tiny_run.inputs(), *OVERRIDES], folder)) == 0
    return folder


def without_times(values: dict) -> dict:
    """A record without what a clock measured."""
    return {name: value for name, value in values.items() if "seconds" not in name}


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv, without times."""
    with open(folder / "metrics.csv", newline="") as file:
        return [without_times(row) for row in csv.DictReader(file)]


def assert_same(found, expected, where: str) -> None:
    """Bitwise equality of nested containers of tensors and plain values."""
    if isinstance(expected, torch.Tensor):
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True, msg=where)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_same(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{where}.{i}")
    else:
        assert found == expected, where


def assert_same_run(folder: Path, whole: Path) -> None:
    """Raw and averaged weights, optimizer, schedule, metrics.csv, results.json and figures agree exactly."""
    for name in ("last", "best"):
        found, expected = (
            torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True) for run in (folder, whole)
        )
        assert found["epoch"] == expected["epoch"] and found["global_step"] == expected["global_step"]
        for part in ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers"):
            assert_same(found[part], expected[part], f"{name}.{part}")
    assert rows(folder) == rows(whole)
    found, expected = (json.loads((run / "results.json").read_text()) for run in (folder, whole))
    assert found["status"] == expected["status"] == "finished"
    for part in ("metrics", "best"):
        assert without_times(found[part]) == without_times(expected[part])
    assert sorted(path.name for path in (folder / "checkpoints").glob("*")) == ["best.ckpt", "last.ckpt"]
    assert figures(folder) == figures(whole)
    assert {"val_epoch_000", "val_epoch_002", "test"} == {path.parent.name for path in figures(whole)}


def figures(folder: Path) -> dict[Path, bytes]:
    """Every drawn scan, which shows the first epoch too, by its path in the run folder."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.glob("figures/*/*.png")}


@pytest.mark.parametrize("moment", KILLS)
def test_killed_and_resumed(tmp_path, whole, moment):
    hook, call = KILLS[moment]
    overrides = [*tiny_run.inputs(), *OVERRIDES]
    process = tiny_run.start([*overrides, *tiny_run.disturb(hook, call, "SIGKILL")], tmp_path)
    assert tiny_run.finish(process) == -signal.SIGKILL
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["status"] == "stopped" and "of 3 epochs done" in record["reason"]
    assert tiny_run.finish(tiny_run.start(overrides, tmp_path, resume=True)) == 0
    assert_same_run(tmp_path, whole)


def test_a_checkpoint_being_written_replaces_nothing(tmp_path, whole):
    """Killed between the bytes and their place: the last checkpoint is still the whole one of the epoch before."""
    overrides = [*tiny_run.inputs(), *OVERRIDES]
    process = tiny_run.CONTEXT.Process(target=die_while_saving, args=(overrides, tmp_path))
    process.start()
    assert tiny_run.finish(process) == -signal.SIGKILL
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 0
    assert tiny_run.finish(tiny_run.start(overrides, tmp_path, resume=True)) == 0
    assert_same_run(tmp_path, whole)


def die_while_saving(overrides: list[str], folder: Path) -> None:
    """Train until the fourth checkpoint file (last.ckpt of epoch 1) is about to take its place."""
    replaced, replace = [], os.replace

    def replace_or_die(source: Path, target: Path) -> None:
        assert source.parent == target.parent  # a move from another file system would not be atomic
        replaced.append(target.suffix)
        if replaced.count(".ckpt") == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = replace_or_die
    tiny_run.work(overrides, folder, False, {})


def test_resume_from_the_command_line(tmp_path, whole):
    """`python train.py resume=FOLDER` needs nothing but the folder."""
    overrides = [*tiny_run.inputs(), *OVERRIDES, *tiny_run.disturb("on_train_batch_end", 5, "SIGKILL")]
    assert tiny_run.finish(tiny_run.start(overrides, tmp_path)) == -signal.SIGKILL
    assert tiny_run.finish(tiny_run.command(f"resume={tmp_path}")) == 0
    assert_same_run(tmp_path, whole)
