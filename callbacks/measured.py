"""What a run measures after each validation, and whether the names that callbacks look at are among it."""

import math
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from mlip_design.metrics import ENERGY_MAE, EQUIVARIANCE_ERROR, FORCES_MAE
from mlip_design.task import Task

TRAINING = "train/loss"


def split_keys(splits: Iterable[str]) -> list[str]:
    """Names of the errors on validation splits."""
    return [f"{split}/{metric}" for split in splits for metric in (FORCES_MAE, ENERGY_MAE)]


def check_monitors(callbacks: Mapping[str, Callback], task: Task) -> None:
    """Raise ValueError, with the closest match, if a callback monitors what is not measured.

    callbacks: name in the configuration -> callback. Its `monitor`, or its `objectives`, name metrics; one that logs
    metrics of its own has a method `logged(potential)` that lists them.
    """
    known = [*split_keys(task.splits["val"]), TRAINING]
    known += [] if task.potential.equivariant else [EQUIVARIANCE_ERROR]
    for callback in callbacks.values():
        known += callback.logged(task.potential) if hasattr(callback, "logged") else []
    for name, callback in callbacks.items():
        for key, metric in monitored(callback):
            if metric not in known:
                raise ValueError(f"callbacks.{name}.{key}: {not_measured(metric, known)}")


def check_cadence(trainer: pl.Trainer, group: str, name: str, every_n_epochs: int) -> None:
    """Raise ValueError if a callback monitors a metric of a group that is not measured whenever it looks.

    group: such as 'bsct' of 'val/bsct/...'. name: of the callback that measures it every so many epochs.
    """
    cadence = math.lcm(every_n_epochs, trainer.check_val_every_n_epoch or 1)
    for callback in trainer.callbacks:
        monitor = getattr(callback, "monitor", None) or ""
        if f"/{group}/" not in monitor:
            continue
        period = callback.every_n_epochs if isinstance(callback, ModelCheckpoint) else 1
        if period % cadence:
            raise ValueError(
                f"callbacks: {type(callback).__name__} looks at {monitor} every {period} epochs, but it is measured "
                f"every {cadence} (callbacks.{name}.every_n_epochs, trainer.check_val_every_n_epoch); make the first "
                "a multiple"
            )


def monitored(callback: Callback) -> Iterator[tuple[str, str]]:
    """(argument, metric) of everything that a callback looks at."""
    if getattr(callback, "monitor", None) is not None:
        yield "monitor", callback.monitor
    yield from (("objectives", metric) for metric in getattr(callback, "objectives", ()))


def not_measured(metric: str, known: list[str]) -> str:
    """What to tell of a metric that is not among the known ones."""
    close = get_close_matches(metric, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{metric!r} is not measured; {hint}There are {', '.join(known)}"
