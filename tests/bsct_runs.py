"""BSCT in a trainer of its own, for the tests of the callback."""

from pathlib import Path

import pytorch_lightning as pl
import tiny_run
from hydra.utils import instantiate
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from callbacks.bsct import BSCT
from mlip_design.config import model_arguments
from mlip_design.task import Task

MONITOR = "val/bsct/full_smoothness"


class Seen(Callback):
    """Keeps the names of the metrics that other callbacks can see after each validation."""

    def __init__(self):
        self.names = []

    def on_validation_end(self, trainer, pl_module):
        self.names.append(set(trainer.callback_metrics))


def trainer_of(tmp_path: Path, *callbacks: Callback, **arguments) -> pl.Trainer:
    """A trainer that prints nothing."""
    settings = {
        "max_epochs": 1,
        "limit_train_batches": 1,
        "limit_val_batches": 1,
        "num_sanity_val_steps": 0,
        "accelerator": "cpu",
        "inference_mode": False,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
    }
    return pl.Trainer(default_root_dir=tmp_path, callbacks=list(callbacks), **(settings | arguments))


def task_and_data(tmp_path: Path) -> tuple[Task, pl.LightningDataModule]:
    """An untrained task and its data."""
    config = tiny_run.compose(tiny_run.inputs(), tmp_path)
    data = instantiate(config.batching)(splits=instantiate(config.data))
    potential = instantiate(model_arguments(config))
    potential.calibrate(data.statistics())
    parts = {name: instantiate(config[name]) for name in ("loss", "optimizer", "schedule")}
    splits = {stage: data.names(stage) for stage in ("val", "test")}
    parts |= {"regularizer": None} | {name: config[name] for name in ("rotate", "seed", "compile")}
    return Task(potential, splits=splits, model_config=model_arguments(config), **parts), data


def bsct(scans: list, **arguments) -> BSCT:
    """The callback with a test's defaults."""
    return BSCT(
        {"val": scans}, **({"every_n_epochs": 1, "max_atoms": 512, "n_worst": 0, "draw_every": 1} | arguments)
    )
