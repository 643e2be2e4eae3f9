"""BSCT beside other callbacks, and with scans that cannot be scored: refused, left out or named, never silent."""

import math
import warnings

import numpy as np
import pytest
import tiny_run
from bsct_runs import MONITOR, Seen, bsct, task_and_data, trainer_of
from pytorch_lightning.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint

from callbacks.measured import check_monitors
from mlip_design.bsct import zero_force_score


def test_wrong_order_is_refused(tmp_path):
    task, data = task_and_data(tmp_path)
    callbacks = [EMAWeightAveraging(decay=0.9, use_buffers=False), bsct(tiny_run.few_scans(count=1, step=20))]
    with pytest.raises(ValueError, match="before the weight-averaging callback"):
        trainer_of(tmp_path, *callbacks).fit(task, data)


@pytest.mark.parametrize(
    ("other", "every_n_epochs", "check_val", "is_refused"),
    [
        (lambda: ModelCheckpoint(monitor=MONITOR, save_on_train_epoch_end=True), 1, 1, False),
        (lambda: ModelCheckpoint(monitor=MONITOR, save_on_train_epoch_end=True), 2, 1, True),
        (lambda: ModelCheckpoint(monitor=MONITOR, save_on_train_epoch_end=True, every_n_epochs=4), 2, 1, False),
        (lambda: ModelCheckpoint(monitor=MONITOR, save_on_train_epoch_end=True, every_n_epochs=2), 1, 2, False),
        (lambda: ModelCheckpoint(monitor=MONITOR, save_on_train_epoch_end=True), 1, 2, True),
        (lambda: EarlyStopping(monitor=MONITOR), 1, 1, False),
        (lambda: EarlyStopping(monitor=MONITOR), 2, 1, True),
    ],
)
def test_cadence_of_those_who_monitor(tmp_path, other, every_n_epochs, check_val, is_refused):
    callback = bsct(tiny_run.few_scans(count=1, step=20), every_n_epochs=every_n_epochs)
    trainer = trainer_of(tmp_path, callback, other(), check_val_every_n_epoch=check_val)
    if is_refused:
        with pytest.raises(ValueError, match=r"every 1 epochs, but it is measured every 2 .*every_n_epochs"):
            callback.check_cadence(trainer)
    else:
        callback.check_cadence(trainer)


def test_checkpoint_and_early_stopping_by_smoothness(tmp_path):
    task, data = task_and_data(tmp_path)
    best = ModelCheckpoint(tmp_path, "best", monitor=MONITOR, save_on_train_epoch_end=True)
    stop = EarlyStopping(MONITOR, patience=1, min_delta=1e6)
    callback = bsct(tiny_run.few_scans(count=1, step=20))
    trainer = trainer_of(tmp_path, callback, best, stop, max_epochs=5)
    trainer.fit(task, data)
    assert trainer.current_epoch == 2  # nothing improves by a million
    assert best.best_model_score.item() > 0


def test_unknown_elements_are_left_out_and_named_once(tmp_path):
    task, data = task_and_data(tmp_path)
    scans = tiny_run.few_scans(count=4, step=20)
    lost = max({number for scan in scans for number in scan.numbers})
    task.potential.reference_energies[lost] = math.nan
    known = [scan for scan in scans if lost not in scan.numbers]
    assert known and len(known) < len(scans)
    seen, callback = Seen(), bsct(scans)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = trainer_of(tmp_path, callback, seen, max_epochs=2)
        data.splits["train"] = data.splits["val"] = without(data.splits["train"], lost)
        trainer.fit(task, data)
    messages = [str(warning.message) for warning in caught if "leaves out" in str(warning.message)]
    assert len(messages) == 1
    assert f"{len(scans) - len(known)} of {len(scans)} scans" in messages[0]
    assert trainer.callback_metrics["val/bsct/zero_full_smoothness"].item() == pytest.approx(
        np.mean([zero_force_score(scan)["zero_full_smoothness"] for scan in known]), rel=1e-5
    )


def without(dataset, number: int):
    """The structures that do not hold an element."""
    return dataset.subset(np.array([i for i in range(len(dataset)) if number not in dataset[i].numbers]))


@pytest.mark.parametrize("scans", [[], None], ids=["none given", "none known"])
def test_no_scan_left(tmp_path, scans):
    """Training goes on without BSCT; only who monitors it is told."""
    task, data = task_and_data(tmp_path)
    if scans is None:
        scan = tiny_run.few_scans(count=1, step=20)[0]
        object.__setattr__(scan, "numbers", np.full_like(scan.numbers, 92))
        scans = [scan]
    trainer = trainer_of(tmp_path, bsct(scans))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(task, data)
    assert not any("bsct" in name for name in trainer.callback_metrics)
    best = ModelCheckpoint(tmp_path, monitor=MONITOR)
    with pytest.raises(ValueError, match=f"callbacks.best.monitor: '{MONITOR}' is not measured"):
        check_monitors({"bsct": bsct(scans), "best": best}, task)
