"""What a trial will have measured when it ends: the names that a search can minimise."""

from collections.abc import Iterable

from hydra.utils import instantiate
from omegaconf import DictConfig

from callbacks.bsct import BSCT, logged_keys
from callbacks.measured import TRAINING, not_measured, split_keys
from mlip_design.data.datamodule import EVALUATION_SPLITS

BSCT_TARGET = f"{BSCT.__module__}.{BSCT.__name__}"
COSTS = ("seconds", "seconds_per_step", "bsct_seconds", "parameters")


def check_measured(names: Iterable[str], config: DictConfig) -> None:
    """Raise ValueError, with the closest match, for a name that the runs of a configuration do not measure.

    Test splits are not among them: they are for the report. The data are read on the way, so that bad ones are refused
    here, before the first trial, rather than by every trial.
    """
    data = instantiate(config.data)
    splits = [split for split in EVALUATION_SPLITS if split in data and split.startswith("val")]
    known = split_keys(splits)
    for node in (config.callbacks or {}).values():
        if node.get("_target_") == BSCT_TARGET:
            known += logged_keys(instantiate(config.scans.val))
            period, epochs = node.every_n_epochs, config.trainer.max_epochs
            if epochs % period and any("/bsct/" in name for name in names):
                raise ValueError(
                    f"objectives: BSCT is measured every {period} epochs, not after the last of {epochs}; "
                    "change callbacks.bsct.every_n_epochs or trainer.max_epochs"
                )
    known += [TRAINING, *(f"cost/{cost}" for cost in COSTS)]
    for name in names:
        if name not in known:
            raise ValueError(f"objectives: {not_measured(name, known)}")
