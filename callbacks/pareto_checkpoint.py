"""Keeps the epochs of one run that no other epoch beats in two objectives."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from mlip_design.selection.pareto import front


class ParetoCheckpoint(Callback):
    """Checkpoints `epoch=N.ckpt` of the epochs on the front of some metrics, all minimised.

    An epoch in which one of them is missing or not finite is passed over. A file that is beaten goes only when the next
    epoch begins: `last.ckpt`, written in between, then knows the new front, so that a run killed at any moment is
    resumed with all files of its front. Place it after a weight-averaging callback and the one that logs the metrics.

    folder: of the checkpoints. objectives: names of metrics.
    """

    def __init__(self, folder: str, objectives: Sequence[str]):
        self.folder = Path(folder)
        self.objectives = list(objectives)
        self.values: dict[int, list[float]] = {}

    def path(self, epoch: int) -> Path:
        """The checkpoint of an epoch, counted from 0."""
        return self.folder / f"epoch={epoch}.ckpt"

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove what is not on the front."""
        self.remove_beaten(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep this epoch if it is on the front; the weights saved are the averaged ones, which were scored."""
        values = [float(trainer.callback_metrics.get(name, math.nan)) for name in self.objectives]
        if not np.isfinite(values).all():
            return
        epoch = trainer.current_epoch
        known = {**self.values, epoch: values}
        is_front = front(np.array(list(known.values())))
        self.values = {key: value for (key, value), keep in zip(known.items(), is_front, strict=True) if keep}
        if epoch in self.values:
            trainer.save_checkpoint(self.path(epoch), weights_only=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove what is not on the front; say so if no epoch had all metrics."""
        self.remove_beaten(trainer)
        if not self.values and trainer.is_global_zero:
            warnings.warn(f"callbacks.pareto kept no epoch: none had {', '.join(self.objectives)}", stacklevel=2)

    def remove_beaten(self, trainer: pl.Trainer) -> None:
        """Remove the checkpoints of epochs that are not on the front."""
        kept = {self.path(epoch) for epoch in self.values}
        for path in set(self.folder.glob("epoch=*.ckpt")) - kept:
            trainer.strategy.remove_checkpoint(path)

    def state_dict(self) -> dict[str, Any]:
        """The front, for a run that is resumed."""
        return {"values": self.values}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the front of the run that is resumed."""
        self.values = dict(state_dict["values"])
