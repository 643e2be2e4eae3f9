"""The folder of a run: fresh, to be continued, or another run's, which is left alone."""

import secrets
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mlip_design.sweep.record import recorded


def begun(
    config: DictConfig, folder: Path, overrides: list[str], is_trial: bool
) -> tuple[DictConfig, Path | None]:
    """The configuration to run and the checkpoint to continue from, if any. No folder is used for two runs.

    A trial of a sweep is continued without being asked to. A logger whose runs have an `id` gets one here, which a run
    that is continued keeps.
    """
    last = folder / "checkpoints" / "last.ckpt"
    is_begun = (folder / "config.yaml").exists()
    if config.resume or (is_trial and is_begun):
        others = overrides if config.resume else []
        return resumed_config(folder, others), last if last.exists() else None
    if is_begun:
        raise ValueError(
            f"{folder} already holds a run; continue it with resume={folder}, or choose another folder"
        )
    OmegaConf.update(config, "overrides", overrides, force_add=True)
    if "id" in (config.logger or {}) and config.logger.id is None:
        config.logger.id = secrets.token_hex(4)
    return config, None


def resumed_config(folder: Path, overrides: list[str]) -> DictConfig:
    """The configuration of the run in `folder`; it is continued unchanged, so no other override is accepted."""
    others = [override for override in overrides if not override.startswith("resume=")]
    if others:
        raise ValueError(f"resume={folder} continues a run as it was configured; leave out {' '.join(others)}")
    if not (folder / "config.yaml").exists():
        raise FileNotFoundError(f"resume={folder}: no run to continue there (no config.yaml)")
    return OmegaConf.load(folder / "config.yaml")


def check_same_run(folder: Path, overrides: list[str]) -> None:
    """Raise ValueError if a trial's folder holds a run of other overrides."""
    record, config = folder / "results.json", folder / "config.yaml"
    if record.exists():
        earlier = list(recorded(folder).overrides)
    elif config.exists():
        earlier = list(OmegaConf.load(config).overrides)
    else:
        return
    if earlier != overrides:
        told, asked = (" ".join(words) or "the defaults" for words in (earlier, overrides))
        raise ValueError(f"{folder} holds a run of {told}, not of {asked}; choose another hydra.sweep.dir")


def remove_empty(folder: Path) -> None:
    """Remove a run folder in which nothing was written, and the folders around it, below here, made for it."""
    here = Path.cwd()
    for path in (folder, *(parent for parent in folder.parents if here in parent.parents)):
        if path == here or not path.is_dir() or any(path.iterdir()):
            break
        path.rmdir()
