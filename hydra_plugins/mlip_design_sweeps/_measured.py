"""What a trial will have measured when it ends: the names that a search can minimise."""

from collections.abc import Iterable

from hydra.utils import instantiate
from omegaconf import DictConfig

from callbacks.bsct import BSCT, logged_keys
from callbacks.dynamics import KEYS as DYNAMICS_KEYS
from callbacks.dynamics import Dynamics
from callbacks.measured import TRAINING, not_measured, split_keys
from callbacks.probe import KEYS as PROBE_KEYS
from callbacks.probe import Probe
from mlip_design.data.datamodule import EVALUATION_SPLITS

BSCT_TARGET, PROBE_TARGET, DYNAMICS_TARGET = (
    f"{kind.__module__}.{kind.__name__}" for kind in (BSCT, Probe, Dynamics)
)
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
            check_last_epoch(names, "bsct", "BSCT", node.every_n_epochs, config.trainer.max_epochs)
        elif node.get("_target_") == PROBE_TARGET:
            known += PROBE_KEYS
            check_last_epoch(names, "probe", "the probe", node.every_n_epochs, config.trainer.max_epochs)
        elif node.get("_target_") == DYNAMICS_TARGET:
            known += [key for key in DYNAMICS_KEYS if not key.endswith("survival")]  # of which more is better
            check_last_epoch(names, "md", "molecular dynamics", node.every_n_epochs, config.trainer.max_epochs)
    known += [TRAINING, *(f"cost/{cost}" for cost in COSTS)]
    for name in names:
        if name not in known:
            raise ValueError(f"objectives: {not_measured(name, known)}")


def check_last_epoch(names: Iterable[str], group: str, what: str, period: int, epochs: int) -> None:
    """Raise ValueError if one of the names is of a group that is not measured after the last epoch."""
    if epochs % period and any(f"/{group}/" in name for name in names):
        raise ValueError(
            f"objectives: {what} is measured every {period} epochs, not after the last of {epochs}; "
            f"change its every_n_epochs below `callbacks`, or trainer.max_epochs"
        )
