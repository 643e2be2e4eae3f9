"""Cheap first: a trial of a sweep that is hopeless, or out of time, ends before more is spent on it."""

import math
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from callbacks.results import GivenUpError, Results
from mlip_design.sweep.record import history

METRIC = "val/forces_mae"


class Trial(Callback):
    """Raises `GivenUpError` in the middle of training.

    after: fraction of the epochs after which a trial is judged, once. factor: it is hopeless if its `val/forces_mae` is
    more than so many times the lowest that another run had after as many epochs; other runs are those whose folders
    are beside its own. max_seconds: of training and validation, s, earlier parts of a resumed run included; None for
    no limit.
    """

    def __init__(self, after: float, factor: float, max_seconds: float | None):
        if not 0 < after <= 1:
            raise ValueError(f"callbacks.trial.after: {after} is not a fraction between 0 and 1")
        if factor < 1:
            raise ValueError(f"callbacks.trial.factor: {factor} is not at least 1")
        self.after = after
        self.factor = factor
        self.max_seconds = math.inf if max_seconds is None else max_seconds

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Stop a trial that is out of time."""
        results = results_of(trainer)
        if trainer.strategy.reduce_boolean_decision(results.seconds > self.max_seconds, all=False):
            raise GivenUpError(f"out of time: {results.seconds:.0f} s of {self.max_seconds:g} s; {results.done}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop a hopeless trial after its validation."""
        done = trainer.current_epoch + 1
        value = trainer.callback_metrics.get(METRIC)
        if done != math.ceil(self.after * trainer.max_epochs) or done == trainer.max_epochs or value is None:
            return
        lowest, name = min(others(results_of(trainer), trainer.current_epoch), default=(math.inf, ""))
        if trainer.strategy.reduce_boolean_decision(value.item() > self.factor * lowest, all=False):
            raise GivenUpError(
                f"hopeless: {METRIC} {value.item():.4g} after {done} of {trainer.max_epochs} epochs, "
                f"{value.item() / lowest:.1f} x that of run {name} then (limit {self.factor:g} x)"
            )


def results_of(trainer: pl.Trainer) -> Results:
    """The keeper of the run's record."""
    (results,) = [callback for callback in trainer.callbacks if isinstance(callback, Results)]
    return results


def others(results: Results, epoch: int) -> list[tuple[float, str]]:
    """The metric of every other run of the same sweep after an epoch, counted from 0, and its name."""
    folder = results.folder.resolve()
    rows = [
        (row.get(METRIC, math.nan), file.parent.name)
        for file in sorted(folder.parent.glob("*/metrics.csv"))
        if file.parent != folder
        for row in history(file.parent)
        if row.get("epoch") == epoch
    ]
    return [(value, name) for value, name in rows if math.isfinite(value)]
