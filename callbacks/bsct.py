"""BSCT as a validation callback: the smoothness of the potential, measured on the weights that will be saved."""

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed
from pytorch_lightning.callbacks import Callback, Checkpoint, EarlyStopping, ModelCheckpoint, WeightAveraging
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from tqdm import tqdm

from mlip_design.bsct import Scan, aggregate, score_scan, zero_force_score
from mlip_design.bsct.runner import predict_scans, scan_batches
from mlip_design.potential import Potential, UnknownElementError


class BSCT(Callback):
    """Score scans after validation and after the test, and log `<stage>/bsct/<key>`.

    Keys are those of `mlip_design.bsct.METRIC_KEYS` (means over systems), `<key>` of zero forces as `zero_<key>`,
    the full FSD by bond type as `bond/<type>`, and `seconds`. The scans are shared out over the ranks. Place it before
    a weight-averaging callback, so that it sees the averaged weights.

    scans: stage ('val', 'test') -> scans. every_n_epochs: evaluate after the validation of every n-th epoch; callbacks
    that monitor a key must keep the same cadence. max_atoms: atoms in one forward. n_worst: scans drawn as figures,
    worst full FSD first, in the first evaluation and every `draw_every`-th one.
    """

    def __init__(
        self, scans: dict[str, Sequence[Scan]], every_n_epochs: int, max_atoms: int, n_worst: int, draw_every: int
    ):
        self.scans = scans
        self.every_n_epochs = every_n_epochs
        self.max_atoms = max_atoms
        self.n_worst = n_worst
        self.draw_every = draw_every
        self.evaluations = 0
        self.shares: dict[str, tuple[list[Scan], list]] = {}
        self.first: dict[str, tuple] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Check the company of other callbacks, leave out scans of unknown elements, take this rank's share."""
        self.check_neighbors(trainer)
        potential = pl_module.potential
        for name in ("val", "test") if stage == "fit" else (stage.replace("validate", "val"),):
            known = scans_of_known_elements(potential, self.scans.get(name, ()), trainer.is_global_zero)
            share = known[trainer.global_rank :: trainer.world_size]
            batches = list(scan_batches(share, potential.cutoff, self.max_atoms, potential.dtype))
            self.shares[name] = (share, batches)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger) and trainer.is_global_zero:
                logger.experiment.define_metric("epoch")
                logger.experiment.define_metric("val/bsct/*", step_metric="epoch", summary="min,last")

    def check_neighbors(self, trainer: pl.Trainer) -> None:
        """Raise ValueError if other callbacks would see stale scores, or this one the wrong weights."""
        position = trainer.callbacks.index(self)
        if any(isinstance(callback, WeightAveraging) for callback in trainer.callbacks[:position]):
            raise ValueError("callbacks.bsct must come before the weight-averaging callback, to see its weights")
        for callback in trainer.callbacks:
            if "/bsct/" not in str(getattr(callback, "monitor", "")):
                continue
            period = callback._every_n_epochs if isinstance(callback, ModelCheckpoint) else 1
            if isinstance(callback, Checkpoint | EarlyStopping) and period % self.every_n_epochs:
                raise ValueError(
                    f"callbacks: {type(callback).__name__} looks at {callback.monitor} every {period} epochs, but "
                    f"callbacks.bsct.every_n_epochs is {self.every_n_epochs}; the first must be a multiple"
                )

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score the validation scans, unless this is a sanity check or not the epoch for it."""
        if not trainer.sanity_checking and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self.evaluate("val", trainer, pl_module)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score the test scans."""
        self.evaluate("test", trainer, pl_module)

    def evaluate(self, stage: str, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Predict this rank's scans, gather the scores of all, log their means and draw the worst."""
        start = time.perf_counter()
        share, batches = self.shares[stage]
        shown = tqdm(batches, desc="BSCT", leave=False, disable=not trainer.is_global_zero)
        predictions = predict_scans(pl_module.potential, share, shown, pl_module.device)
        rows = {}
        for scan, (energies, forces) in zip(share, predictions, strict=True):
            rows[scan.name] = (scan.bond, {**score_scan(scan, energies, forces), **zero_force_score(scan)})
        rows = gather(rows)
        if not rows:
            return
        summary = aggregate(
            {n: score for n, (_, score) in rows.items()}, {n: bond for n, (bond, _) in rows.items()}
        )
        values = {f"{stage}/bsct/{key}": value for key, value in summary.mean.items()}
        values |= {f"{stage}/bsct/bond/{b}": mean["full_smoothness"] for b, mean in summary.bond_mean.items()}
        if summary.nonfinite and trainer.is_global_zero:
            warnings.warn(f"BSCT: predictions of {', '.join(summary.nonfinite)} are not finite", stacklevel=2)
        self.draw(stage, trainer, rows, dict(zip([scan.name for scan in share], predictions, strict=True)))
        self.evaluations += 1
        values[f"{stage}/bsct/seconds"] = time.perf_counter() - start
        pl_module.log_dict(values, batch_size=1)

    def draw(self, stage: str, trainer: pl.Trainer, rows: dict, predictions: dict[str, tuple]) -> None:
        """Figures of the worst scans (those this rank predicted) and the table of all, to files and loggers."""
        if stage == "val" and not self.first:
            self.first = predictions
        if not trainer.is_global_zero or (stage == "val" and self.evaluations % self.draw_every):
            return
        from mlip_design.bsct.plots import plot_scan

        own = {scan.name: scan for scan in self.shares[stage][0]}
        worst = sorted(own, key=lambda name: -rows[name][1]["full_smoothness"])[: self.n_worst]
        folder = Path(trainer.default_root_dir) / "figures" / f"{stage}_epoch_{trainer.current_epoch:03d}"
        figures = {}
        for place, name in enumerate(worst, start=1):
            before = self.first.get(name) if self.evaluations and stage == "val" else None
            figure = plot_scan(own[name], *predictions[name], before=before and (*before, "first epoch"))
            folder.mkdir(parents=True, exist_ok=True)
            figure.savefig(folder / f"worst_{place}_{name.replace('/', '_')}.png", dpi=110)
            figures[f"{stage}/bsct/worst_{place}"] = figure
        for logger in trainer.loggers:
            log_pictures(
                logger, figures, {name: {"bond": bond, **score} for name, (bond, score) in rows.items()}, stage
            )


def scans_of_known_elements(potential: Potential, scans: Sequence[Scan], announce: bool) -> list[Scan]:
    """The scans whose elements the potential knows; the others are counted and their elements named once."""
    known, reasons = [], set()
    for scan in scans:
        try:
            potential.check_elements(scan.numbers, "BSCT")
            known.append(scan)
        except UnknownElementError as error:
            reasons.add(str(error))
    if announce and len(known) < len(scans):
        left_out = len(scans) - len(known)
        warnings.warn(
            f"BSCT leaves out {left_out} of {len(scans)} scans: {'; '.join(sorted(reasons))}", stacklevel=2
        )
    return known


def gather(rows: dict[str, Any]) -> dict[str, Any]:
    """The union over ranks of a mapping, sorted by key, on every rank."""
    parts = [rows]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, rows)
    return dict(sorted(item for part in parts for item in part.items()))


def log_pictures(logger: Any, figures: dict, table: dict[str, dict], stage: str) -> None:
    """Send figures and, where it can be shown, the per-scan table to a logger that takes them."""
    if isinstance(logger, WandbLogger):
        for key, figure in figures.items():
            logger.log_image(key, [figure])
        columns = ["scan", *next(iter(table.values()))]
        logger.log_table(f"{stage}/bsct/scans", columns, [[name, *row.values()] for name, row in table.items()])
    elif isinstance(logger, TensorBoardLogger):
        for key, figure in figures.items():
            logger.experiment.add_figure(key, figure)
