"""A trained `Potential` from a checkpoint file or a run folder, without running any code that the file names."""

import re
from pathlib import Path

import torch
from hydra.utils import get_object, instantiate
from torch import nn

from mlip_design.potential import Potential

BEST = "checkpoints/best.ckpt"
BLOCK_PATH = re.compile(r"mlip_design\.(potential|blocks\.\w+\.\w+)\.\w+")


class CheckpointError(ValueError):
    """A file that holds no usable potential; the message names it and says why."""


def load_potential(
    path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> Potential:
    """The potential of a checkpoint, or of the best checkpoint of a run folder, in evaluation mode.

    dtype: floating-point type of its weights; None keeps the checkpoint's. Raises CheckpointError or
    FileNotFoundError. Only blocks of `mlip_design` are instantiated, and nothing is unpickled but tensors and
    plain containers.
    """
    file = checkpoint_file(path)
    try:
        checkpoint = torch.load(file, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged or unsafe files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{file}: cannot be read as a checkpoint ({reason})") from error
    if not isinstance(checkpoint, dict) or "model_config" not in checkpoint:
        raise CheckpointError(f"{file}: holds no model_config, so it was not written by mlip_design")
    check_config(checkpoint["model_config"], file)
    try:
        return restored(checkpoint, torch.device(device), dtype)
    except Exception as error:  # what blocks of another version, or missing and misshapen weights raise
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{file}: config and weights make no potential of this version ({reason})"
        ) from error


def checkpoint_file(path: str | Path) -> Path:
    """The checkpoint itself, or the best one of a run folder. Raises FileNotFoundError."""
    path = Path(path)
    file = path / BEST if path.is_dir() else path
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such checkpoint")
    return file


def restored(checkpoint: dict, device: torch.device, dtype: torch.dtype | None) -> Potential:
    """The potential of a checkpoint whose config is harmless."""
    potential = instantiate(checkpoint["model_config"])
    if not isinstance(potential, Potential):
        raise CheckpointError(f"its model is a {type(potential).__name__}")
    prefix = "potential."
    state = {
        k.removeprefix(prefix): v for k, v in checkpoint.get("state_dict", {}).items() if k.startswith(prefix)
    }
    weights = [value for value in state.values() if value.is_floating_point() and value.ndim == 2]
    if not weights:
        raise CheckpointError(f"it has no weights named {prefix}...")
    potential = potential.to(device=device, dtype=weights[0].dtype)
    potential.load_state_dict(state)
    return potential.to(dtype=dtype).eval().requires_grad_(False)


def check_config(config: object, file: Path) -> None:
    """Refuse a configuration that is not plain data or would call anything but modules that this package defines."""
    if isinstance(config, dict):
        target = config.get("_target_")
        if target is not None and not (isinstance(target, str) and is_own_module(target)):
            raise CheckpointError(
                f"{file}: refuses to instantiate {target!r}; only blocks of mlip_design are allowed"
            )
        for value in config.values():
            check_config(value, file)
    elif isinstance(config, list):
        for value in config:
            check_config(value, file)
    elif not (config is None or isinstance(config, bool | int | float | str)):
        raise CheckpointError(f"{file}: model_config must be plain data, not {type(config).__name__}")
    elif isinstance(config, str) and "${" in config:  # resolving it could make a target out of nothing
        raise CheckpointError(f"{file}: refuses the interpolation {config!r} in its model_config")


def is_own_module(target: str) -> bool:
    """Whether a dotted path names a torch module that `mlip_design` defines there."""
    if not BLOCK_PATH.fullmatch(target):
        return False
    try:
        found = get_object(target)
    except Exception:  # whatever importing a name that does not exist raises
        return False
    return isinstance(found, type) and issubclass(found, nn.Module) and found.__module__.startswith("mlip_design.")
