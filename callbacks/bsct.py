"""BSCT as a validation callback: the smoothness of the potential, measured on the weights that will be saved."""

import csv
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch.distributed
from ase.data import chemical_symbols
from matplotlib.figure import Figure
from pytorch_lightning.callbacks import Callback, WeightAveraging
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.trainer.states import TrainerFn
from tqdm import tqdm

from callbacks.measured import check_cadence
from callbacks.wandb_log import log_scans, plot_over_epochs, wandb_loggers
from mlip_design.bsct import METRIC_KEYS, STRESS_KEYS, Scan, aggregate, score_scan, zero_force_score
from mlip_design.bsct.plots import plot_scan
from mlip_design.bsct.runner import predict_scans, scan_batches
from mlip_design.bsct.score import leading
from mlip_design.files import replacing
from mlip_design.potential import Potential

STAGES = {"fit": "val", "validate": "val", "test": "test"}
"""Lightning's name of what is run -> the scans it needs."""


class BSCT(Callback):
    """Score scans after validation and after the test, and log `<stage>/bsct/<key>`.

    Keys are those of `mlip_design.bsct.METRIC_KEYS` (means over systems), the same of zero forces as `zero_<key>`, the
    spread of the full FSD over systems as `full_smoothness_{median,percentile_95}`, its mean by bond type as
    `bond/<type>`, and `seconds`; scans with stresses add `STRESS_KEYS` and `zero_<key>` of these, means over them.
    The scores of every scan at the last evaluation are written to `scans_<stage>.csv` in the trainer's folder. The
    scans are shared out over the ranks. Place it before a weight-averaging callback, so that it sees the averaged
    weights.

    scans: stage ('val', 'test') -> scans. every_n_epochs: evaluate after the validation of every n-th epoch; callbacks
    that monitor a key must keep the same cadence. max_atoms: atoms in one forward. n_worst: scans drawn as figures,
    worst full FSD first, in the first evaluation, every `draw_every`-th and the last.
    """

    def __init__(
        self, scans: dict[str, Sequence[Scan]], every_n_epochs: int, max_atoms: int, n_worst: int, draw_every: int
    ):
        self.scans = scans
        self.every_n_epochs = every_n_epochs
        self.max_atoms = max_atoms
        self.n_worst = n_worst
        self.draw_every = draw_every
        self.known: dict[str, list[Scan]] = {}
        self.batches: dict[str, list] = {}
        self.before: tuple[int, dict[str, tuple]] | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave out scans of unknown elements, prepare this rank's share, check the company of other callbacks."""
        if stage not in STAGES:
            return
        name, potential = STAGES[stage], pl_module.potential
        self.known[name] = scans_to_score(
            potential, self.scans.get(name, ()), f"BSCT ({name})", trainer.is_global_zero
        )
        share = self.share(name, trainer)
        self.batches[name] = list(scan_batches(share, potential.cutoff, self.max_atoms, potential.dtype))
        if stage == "fit":
            self.check_order(trainer)
            self.check_cadence(trainer)
            for logger in wandb_loggers(trainer):
                plot_over_epochs(logger, logged_keys(self.known["val"]))

    def logged(self, potential: Potential) -> list[str]:
        """Names of all metrics of a validation of a potential."""
        return logged_keys(scans_to_score(potential, self.scans.get("val", ()), "", announce=False))

    def share(self, stage: str, trainer: pl.Trainer) -> list[Scan]:
        """The scans that this rank predicts, small ones first: frames of like size share a batch with less padding."""
        by_size = sorted(self.known[stage], key=lambda scan: len(scan.numbers))
        return by_size[trainer.global_rank :: trainer.world_size]

    def check_order(self, trainer: pl.Trainer) -> None:
        """Raise ValueError if weights would be swapped back before they are scored."""
        position = trainer.callbacks.index(self)
        if any(isinstance(callback, WeightAveraging) for callback in trainer.callbacks[:position]):
            raise ValueError("callbacks.bsct must come before the weight-averaging callback, to see its weights")

    def check_cadence(self, trainer: pl.Trainer) -> None:
        """Raise ValueError if another callback monitors a key that is not measured whenever it looks."""
        check_cadence(trainer, "bsct", "bsct", self.every_n_epochs)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score the validation scans; in an epoch that is not due, take back what an earlier one said."""
        if trainer.sanity_checking:
            return
        if trainer.state.fn != TrainerFn.FITTING or (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self.evaluate("val", trainer, pl_module)
        else:
            for key in [key for key in trainer.callback_metrics if key.startswith("val/bsct/")]:
                del trainer.callback_metrics[key]

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score the test scans."""
        self.evaluate("test", trainer, pl_module)

    def evaluate(self, stage: str, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Predict this rank's scans, gather the scores of all, log their means and draw the worst."""
        start = time.perf_counter()
        share = self.share(stage, trainer)
        hidden = None if trainer.is_global_zero else True  # None: hidden unless on a terminal
        shown = tqdm(self.batches[stage], "BSCT", leave=False, disable=hidden, file=sys.stdout)
        predicted = predict_scans(pl_module.potential, share, shown, pl_module.device)
        predictions = dict(zip((scan.name for scan in share), predicted, strict=True))
        scores = gather(
            {scan.name: {**score_scan(scan, *predictions[scan.name]), **zero_force_score(scan)} for scan in share}
        )
        if not scores:
            return
        values, nonfinite = summarize(scores, self.known[stage])
        if nonfinite and trainer.is_global_zero:
            warnings.warn(f"BSCT: predictions of {', '.join(nonfinite)} are not finite", stacklevel=2)
        bonds = {scan.name: scan.bond for scan in self.known[stage]}
        table = {name: {"bond": bonds[name], **score} for name, score in scores.items()}
        if trainer.is_global_zero:
            write_scores(Path(trainer.default_root_dir) / f"scans_{stage}.csv", table)
        if stage == "test" or self.draws_in(trainer.current_epoch, trainer.max_epochs):
            self.draw(stage, trainer, table, predictions)
        values["seconds"] = time.perf_counter() - start
        named = {f"{stage}/bsct/{key}": value for key, value in values.items()}
        pl_module.log_dict(named, batch_size=1, sync_dist=True)

    def draws_in(self, epoch: int, max_epochs: int) -> bool:
        """Whether figures are due: in the first evaluation, every `draw_every`-th and the last."""
        return epoch // self.every_n_epochs % self.draw_every == 0 or 0 < max_epochs <= epoch + self.every_n_epochs

    def draw(self, stage: str, trainer: pl.Trainer, table: dict[str, dict], predictions: dict[str, tuple]) -> None:
        """Figures of the worst scans, to files and loggers, and the table of all to W&B."""
        if stage == "val" and self.before is None and self.n_worst:
            single = {
                name: (e, *(values.astype("f4") for values in rest)) for name, (e, *rest) in predictions.items()
            }
            self.before = trainer.current_epoch, gather(single)
        worst = sorted(table, key=lambda name: -np.nan_to_num(leading(table[name]), nan=np.inf))
        worst = worst[: self.n_worst]
        now = gather({name: predictions[name] for name in worst if name in predictions})
        epoch, earlier = self.before if self.before and stage == "val" else (trainer.current_epoch, {})
        if not trainer.is_global_zero:
            return
        scans = {scan.name: scan for scan in self.known[stage]}
        figures = {}
        for name in worst:
            before = (*earlier[name], f"epoch {epoch}") if epoch < trainer.current_epoch else None
            figures[name] = plot_scan(scans[name], *now[name], before=before)
        moment = "test" if stage == "test" else f"val_epoch_{trainer.current_epoch:03d}"
        paths = save_figures(figures, Path(trainer.default_root_dir) / "figures" / moment)
        for logger in wandb_loggers(trainer):
            log_scans(logger, trainer, stage, paths, columns_of(table), table)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                for place, figure in enumerate(figures.values(), start=1):
                    logger.experiment.add_figure(f"{stage}/bsct/worst_{place}", figure, trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """The first predictions, for a run that is resumed."""
        if self.before is None:
            return {}
        epoch, predictions = self.before
        return {
            "epoch": epoch,
            "first": {name: tuple(map(torch.from_numpy, p)) for name, p in predictions.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Draw the first predictions of the run that is resumed beside those to come."""
        if state_dict:
            first = {name: tuple(array.numpy() for array in p) for name, p in state_dict["first"].items()}
            self.before = state_dict["epoch"], first


def scans_to_score(potential: Potential, scans: Sequence[Scan], name: str, announce: bool) -> list[Scan]:
    """The scans whose elements the potential knows, without stresses if it has none; the others are named once."""
    elements = set(potential.elements)
    known = [scan for scan in scans if elements.issuperset(scan.numbers.tolist())]
    if announce and len(known) < len(scans):
        unknown = sorted({number for scan in scans for number in scan.numbers.tolist()} - elements)
        named, learnt = (", ".join(chemical_symbols[n] for n in some) for some in (unknown, potential.elements))
        left_out = f"{len(scans) - len(known)} of {len(scans)} scans"
        reason = f"element {named} is unknown to this potential (it knows {learnt})"
        warnings.warn(f"{name} leaves out {left_out}: {reason}", stacklevel=2)
    return known if potential.has_stress else [replace(scan, stresses=None) for scan in known]


def logged_keys(scans: Sequence[Scan]) -> list[str]:
    """Everything that is logged after the validation when these scans are scored."""
    if not scans:
        return []
    keys = [*METRIC_KEYS, *(STRESS_KEYS if any(scan.stresses is not None for scan in scans) else ())]
    zero = [f"zero_{key}" for key in keys if not key.endswith("energy_mae")]
    spread = ["full_smoothness_median", "full_smoothness_percentile_95"]
    bonds = sorted({f"bond/{scan.bond}" for scan in scans})
    return [f"val/bsct/{key}" for key in (*keys, *zero, *spread, *bonds, "seconds")]


def summarize(scores: dict[str, dict], scans: Iterable[Scan]) -> tuple[dict[str, float], tuple[str, ...]]:
    """What is logged of the scores of scans, by key without its stage, and the names of scans that are not finite."""
    summary = aggregate(scores, {scan.name: scan.bond for scan in scans})
    values = dict(summary.mean)
    values["full_smoothness_median"] = summary.median["full_smoothness"]
    values["full_smoothness_percentile_95"] = summary.percentile_95["full_smoothness"]
    values |= {f"bond/{bond}": mean["full_smoothness"] for bond, mean in summary.bond_mean.items()}
    return values, summary.nonfinite


def gather(rows: dict[str, Any]) -> dict[str, Any]:
    """The union over ranks of a mapping, sorted by key, on every rank."""
    parts = [rows]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, rows)
    return dict(sorted(item for part in parts for item in part.items()))


def save_figures(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Write figures by name of their scan as PNG files, worst first."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for place, (name, figure) in enumerate(figures.items(), start=1):
        paths.append(folder / f"worst_{place}_{name.replace('/', '_')}.png")
        figure.savefig(paths[-1], dpi=110)
    return paths


def columns_of(table: dict[str, dict]) -> list[str]:
    """The keys of all rows, in order."""
    return list(dict.fromkeys(key for row in table.values() for key in row))


def write_scores(path: Path, table: dict[str, dict]) -> None:
    """Write the row of every scan, by name, as CSV."""
    with replacing(path) as file:
        writer = csv.DictWriter(file, ["scan", *columns_of(table)])
        writer.writeheader()
        writer.writerows({"scan": name, **row} for name, row in table.items())
