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
    path = Path(path)
    file = path / BEST if path.is_dir() else path
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such checkpoint")
    try:
        checkpoint = torch.load(file, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged or unsafe files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{file}: cannot be read as a checkpoint ({reason})") from error
    if not isinstance(checkpoint, dict) or "model_config" not in checkpoint:
        raise CheckpointError(f"{file}: holds no model_config, so it was not written by mlip_design")
    check_targets(checkpoint["model_config"], file)
    potential: Potential = instantiate(checkpoint["model_config"])
    prefix = "potential."
    state = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    weights = next(value for value in state.values() if value.is_floating_point() and value.ndim == 2)
    potential = potential.to(device=device, dtype=weights.dtype)
    potential.load_state_dict(state)
    return potential.to(dtype=dtype).eval().requires_grad_(False)


def check_targets(config: object, file: Path) -> None:
    """Refuse a configuration that would call anything but the modules that this package itself defines."""
    if isinstance(config, list):
        config = dict(enumerate(config))
    if not isinstance(config, dict):
        return
    if (target := config.get("_target_")) is not None and not is_own_module(str(target)):
        raise CheckpointError(f"{file}: refuses to instantiate {target!r}; only blocks of mlip_design are allowed")
    for value in config.values():
        check_targets(value, file)


def is_own_module(target: str) -> bool:
    """Whether a dotted path names a torch module that `mlip_design` defines there."""
    if not BLOCK_PATH.fullmatch(target):
        return False
    try:
        found = get_object(target)
    except Exception:  # whatever importing a name that does not exist raises
        return False
    return isinstance(found, type) and issubclass(found, nn.Module) and found.__module__.startswith("mlip_design.")
