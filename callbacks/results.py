"""The record of a run: `metrics.csv`, one row a validation, and `results.json`, both rewritten after each.

Epochs count from 0. Written atomically, so that a run killed at any moment leaves a whole record; its history
travels in the checkpoints, so that a resumed run continues it.
"""

import csv
import json
import math
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.exceptions import SIGTERMException
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from callbacks.wandb_log import log_outcome, plot_over_epochs, wandb_loggers
from mlip_design.files import replacing
from mlip_design.metrics import ENERGY_MAE, FORCES_MAE
from mlip_design.report.run_page import write_run_page
from mlip_design.task import DivergedError

SCHEMA = 1


class GivenUpError(RuntimeError):
    """A run is stopped by a rule of its sweep; the message begins as `mlip_design.sweep.record.GIVEN_UP` says."""


class Results(Callback):
    """Keeps the files of a run folder.

    folder: the run folder. config: content of its config.yaml. record: what is known before training (seed, overrides,
    budget, data, parameters, versions).
    """

    def __init__(self, folder: str | Path, config: str, record: dict[str, Any]):
        self.folder = Path(folder)
        self.config = config
        self.record = record
        self.history: list[dict[str, float]] = []
        self.test: dict[str, float] = {}
        self.seconds_before = 0.0
        self.started = False
        self.start = time.perf_counter()
        self.step_seconds: list[float] = []
        self.seconds_per_step = math.nan
        self.monitor = ("val/forces_mae", "min")
        self.done = "no epoch done"
        self.status, self.reason = "stopped", self.done

    @property
    def seconds(self) -> float:
        """Wall time of training and validation so far, earlier parts of a resumed run included."""
        return self.seconds_before + time.perf_counter() - self.start

    @rank_zero_only
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write config.yaml: here, when all processes of a run have started, for none may start in a used folder."""
        if stage == "fit":
            with replacing(self.folder / "config.yaml") as file:
                file.write(self.config)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; learn what the best epoch is judged by; leave a first record."""
        self.started = True
        self.start = time.perf_counter()
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.monitor:
                self.monitor = (callback.monitor, callback.mode)
        errors = [f"{split}/{name}" for split in pl_module.splits["val"] for name in (ENERGY_MAE, FORCES_MAE)]
        for logger in wandb_loggers(trainer):
            plot_over_epochs(logger, errors)
        self.write_running(trainer)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Note when a step starts."""
        self.step_start = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Note how long it took."""
        self.step_seconds.append(time.perf_counter() - self.step_start)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add a row and write the record."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        self.seconds_per_step = statistics.median(self.step_seconds)
        moment = {"epoch": trainer.current_epoch, "step": trainer.global_step, "seconds": self.seconds}
        rates = {"learning_rate": trainer.optimizers[0].param_groups[0]["lr"]}
        self.history.append({**moment, **rates, **logged(trainer, ("train/", "val"))})
        self.write_running(trainer)

    def write_running(self, trainer: pl.Trainer) -> None:
        """Write the record that is left if the run is killed from now on."""
        self.done = f"{len({row['epoch'] for row in self.history})} of {trainer.max_epochs} epochs done"
        self.write("stopped", f"still running or killed: {self.done}")

    def close(self, trainer: pl.Trainer, exception: BaseException | None = None) -> None:
        """Write the last record: finished with the test metrics, or the kind of failure and its reason.

        Nothing is written of a run that was refused before it started.
        """
        if not self.started:
            return
        if exception is None:
            self.test = logged(trainer, ("test",))
            self.write("finished", None)
        elif isinstance(exception, DivergedError):
            self.write("diverged", str(exception))
        elif isinstance(exception, GivenUpError):
            self.write("stopped", str(exception))
        elif isinstance(exception, SIGTERMException):
            self.write("stopped", f"SIGTERM: {self.done}")
        elif isinstance(exception, KeyboardInterrupt | SystemExit):  # Lightning turns the first into the second
            self.write("stopped", f"Ctrl-C: {self.done}")
        else:
            self.write("failed", f"{type(exception).__name__}: {exception}")
        for logger in wandb_loggers(trainer):
            log_outcome(logger, self.as_dict())
        self.write_report()

    @rank_zero_only
    def write_report(self) -> None:
        """Write report.html; a run whose page cannot be written is no worse for it."""
        try:
            write_run_page(self.folder)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            warnings.warn(f"no report.html: {reason}; later: mlip-design report {self.folder}", stacklevel=2)

    @property
    def best(self) -> dict[str, float]:
        """The row of the best epoch by the monitored metric; empty before the first validation."""
        name, mode = self.monitor
        rows = [row for row in self.history if math.isfinite(row.get(name, math.nan))]
        return (min if mode == "min" else max)(rows, key=lambda row: row[name]) if rows else {}

    def as_dict(self) -> dict[str, Any]:
        """The content of results.json."""
        cost = {
            "seconds": self.seconds,
            "seconds_per_step": self.seconds_per_step,
            "bsct_seconds": sum(row.get("val/bsct/seconds", 0.0) for row in self.history),
            "parameters": self.record["parameters"],
        }
        last = {k: v for k, v in (self.history[-1] if self.history else {}).items() if "/" in k}
        return {
            "schema": SCHEMA,
            "status": self.status,
            "reason": self.reason,
            "seed": self.record["seed"],
            "overrides": self.record["overrides"],
            "metrics": {**last, **self.test},
            "best": {**self.best, "monitor": self.monitor[0]},
            "cost": cost,
            "budget": self.record["budget"],
            "data": self.record["data"],
            "versions": self.record["versions"],
        }

    @rank_zero_only
    def write(self, status: str, reason: str | None) -> None:
        """Write metrics.csv and results.json."""
        self.status, self.reason = status, reason
        columns = list(dict.fromkeys(name for row in self.history for name in row))
        with replacing(self.folder / "metrics.csv") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.history)
        with replacing(self.folder / "results.json") as file:
            json.dump(finite(self.as_dict()), file, indent=1, allow_nan=False)
            file.write("\n")

    def state_dict(self) -> dict[str, Any]:
        """History and clock, for a run that is resumed."""
        return {"history": self.history, "seconds": self.seconds, "seconds_per_step": self.seconds_per_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the history and the clock of the run that is resumed."""
        self.history = list(state_dict["history"])
        self.seconds_before = state_dict["seconds"]
        self.seconds_per_step = state_dict["seconds_per_step"]


def logged(trainer: pl.Trainer, prefixes: tuple[str, ...]) -> dict[str, float]:
    """The metrics of the present epoch whose names start so, by name; values of single steps are left out."""
    metrics = sorted(trainer.callback_metrics.items())
    return {k: v.item() for k, v in metrics if k.startswith(prefixes) and not k.endswith("_step")}


def finite(value: Any) -> Any:
    """The same nested value with NaN and infinity, which JSON has no word for, as None."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
