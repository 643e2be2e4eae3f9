"""The record of a run: `metrics.csv`, one row a validation, and `results.json`, both rewritten after each.

Written atomically, so that a run killed at any moment leaves a whole record; its history travels in the checkpoints,
so that a resumed run continues it.
"""

import csv
import json
import math
import os
import statistics
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.exceptions import SIGTERMException
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from mlip_design.task import DivergedError

SCHEMA = 1


class Results(Callback):
    """folder: the run folder. record: what is known before training (seed, overrides, data, versions, ...)."""

    def __init__(self, folder: str | Path, record: dict[str, Any]):
        self.folder = Path(folder)
        self.record = record
        self.history: list[dict[str, float]] = []
        self.test: dict[str, float] = {}
        self.seconds_before = 0.0
        self.start = time.perf_counter()
        self.step_seconds: list[float] = []
        self.seconds_per_step = math.nan
        self.monitor = ("val/forces_mae", "min")
        self.status, self.reason = "stopped", "no epoch done"

    @property
    def seconds(self) -> float:
        """Wall time of training and validation so far, earlier parts of a resumed run included."""
        return self.seconds_before + time.perf_counter() - self.start

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; learn what the best epoch is judged by."""
        self.start = time.perf_counter()
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.monitor:
                self.monitor = (callback.monitor, callback.mode)

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
        metrics = {name: value.item() for name, value in sorted(trainer.callback_metrics.items())}
        rates = {"learning_rate": trainer.optimizers[0].param_groups[0]["lr"]}
        step = trainer.global_step
        self.history.append(
            {"epoch": trainer.current_epoch, "step": step, "seconds": self.seconds, **rates, **metrics}
        )
        done, planned = trainer.current_epoch + 1, trainer.max_epochs
        self.write("stopped", f"still running or killed: {done} of {planned} epochs done")

    def close(self, trainer: pl.Trainer, exception: BaseException | None = None) -> None:
        """Write the last record: finished with the test metrics, or the kind of failure and its reason."""
        if exception is None:
            self.test = {k: v.item() for k, v in sorted(trainer.callback_metrics.items()) if k.startswith("test")}
            self.write("finished", None)
        elif isinstance(exception, DivergedError):
            self.write("diverged", str(exception))
        elif isinstance(exception, KeyboardInterrupt | SystemExit | SIGTERMException):
            self.write("stopped", type(exception).__name__)
        else:
            self.write("failed", f"{type(exception).__name__}: {exception}")

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
            "data": self.record["data"],
            "versions": self.record["versions"],
        }

    @rank_zero_only
    def write(self, status: str, reason: str | None) -> None:
        """Write metrics.csv and results.json."""
        self.status, self.reason = status, reason
        self.folder.mkdir(parents=True, exist_ok=True)
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


class replacing:
    """A text file that takes the place of `path` only when it was written whole."""

    def __init__(self, path: Path):
        self.path = path
        self.partial = path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self):
        self.file = open(self.partial, "w", encoding="utf-8", newline="")
        return self.file

    def __exit__(self, kind, value, traceback) -> None:
        self.file.close()
        if kind is None:
            os.replace(self.partial, self.path)
        else:
            self.partial.unlink()


def finite(value: Any) -> Any:
    """The same nested value with NaN and infinity, which JSON has no word for, as None."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
