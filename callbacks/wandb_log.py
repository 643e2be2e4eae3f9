"""What a run tells Weights & Biases beside what Lightning logs: axes, best and last values, figures and tables."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger


def wandb_loggers(trainer: pl.Trainer) -> list[WandbLogger]:
    """Those of a trainer, on the first rank; none on others."""
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger) and trainer.is_global_zero]


def plot_over_epochs(logger: WandbLogger, names: Iterable[str]) -> None:
    """Give metrics, all of them to be small, the epoch as axis, and their smallest and last value to the summary.

    One by one, for Lightning has already given '*' another axis.
    """
    logger.experiment.define_metric("epoch")
    for name in names:
        logger.experiment.define_metric(name, step_metric="epoch", summary="min,last")


def log_scans(
    logger: WandbLogger,
    trainer: pl.Trainer,
    stage: str,
    paths: list[Path],
    columns: list[str],
    table: dict[str, dict],
) -> None:
    """Send the figures of the worst scans and the table of all in one record, placed at this epoch."""
    import wandb

    record = {f"{stage}/bsct/worst_{place}": wandb.Image(str(path)) for place, path in enumerate(paths, start=1)}
    rows = [[name, *map(row.get, columns)] for name, row in table.items()]
    record[f"{stage}/bsct/scans"] = wandb.Table(columns=["scan", *columns], data=rows)
    logger.log_metrics({**record, "epoch": trainer.current_epoch}, trainer.global_step)


def log_outcome(logger: WandbLogger, results: dict[str, Any]) -> None:
    """Put the end of a run into its summary: `status`, `reason`, `best/<metric>` of the best epoch, `cost/<what>`.

    results: content of results.json.
    """
    best = {f"best/{name}": value for name, value in results["best"].items()}
    cost = {f"cost/{name}": value for name, value in results["cost"].items()}
    numbers = {
        name: value for name, value in {**best, **cost}.items() if isinstance(value, str) or math.isfinite(value)
    }
    logger.experiment.summary.update({"status": results["status"], "reason": results["reason"], **numbers})
