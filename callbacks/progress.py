"""What a run prints while it trains: what is trained, one line an epoch and, on a terminal, bars."""

import logging
import sys
import time
import warnings
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.utilities.exceptions import SIGTERMException
from tqdm import tqdm

from mlip_design.report.terminal import epoch_heading, epoch_line, model_line

NOISE = (
    r".*isinstance\(treespec, LeafSpec\).*",
    r".*does not have many workers.*",
    r"Checkpoint directory .* exists and is not empty.*",
)
"""Warnings of Lightning that say nothing to the person who runs this program."""


class Progress(TQDMProgressBar):
    """refresh_rate: batches between two updates of a bar."""

    def __init__(self, refresh_rate: int):
        super().__init__(refresh_rate if sys.stdout.isatty() else 0)
        self.heading_due = True

    def init_train_tqdm(self) -> tqdm:
        """A bar that vanishes: the lines of the epochs stay."""
        return vanishing(super().init_train_tqdm())

    def init_test_tqdm(self) -> tqdm:
        """A bar that vanishes."""
        return vanishing(super().init_test_tqdm())

    def get_metrics(self, *arguments: Any) -> dict[str, Any]:
        """What stands beside the training bar: the loss."""
        metrics = super().get_metrics(*arguments)
        return {"loss": metrics["train/loss_step"]} if "train/loss_step" in metrics else {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what is trained on what."""
        self.start = time.perf_counter()
        parameters = sum(parameter.numel() for parameter in pl_module.parameters())
        say(trainer, model_line(pl_module.model_config, parameters, trainer.datamodule.describe()))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the line of the epoch; before the first, the heading with the errors of zero forces."""
        super().on_validation_end(trainer, pl_module)
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
        splits = pl_module.splits["val"]
        if self.heading_due:
            say(trainer, epoch_heading(splits, metrics, trainer.datamodule.describe()))
            self.heading_due = False
        say(trainer, epoch_line(trainer.current_epoch, splits, metrics, time.perf_counter() - self.start))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Say how to go on after an interruption."""
        if isinstance(exception, KeyboardInterrupt | SIGTERMException):
            say(trainer, f"stopped; continue with: python train.py resume={trainer.default_root_dir}")


def vanishing(bar: tqdm) -> tqdm:
    """The same bar, cleared when it is closed."""
    bar.leave = False
    return bar


def say(trainer: pl.Trainer, text: str) -> None:
    """Print above the bars, on the first rank only."""
    if trainer.is_global_zero:
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()


def silence_lightning() -> None:
    """Keep Lightning's notices (devices, tips, loading) and its warnings in `NOISE` from a run's output."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    for message in NOISE:
        warnings.filterwarnings("ignore", message=message)
