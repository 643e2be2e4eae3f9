"""A trained `Potential` from a checkpoint, a run folder or an exported model: nothing that a file names is run.

Only torch modules that `mlip_design` defines are instantiated, or those of modules that the user names.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from hydra.utils import get_object, instantiate
from torch import Tensor, nn

from mlip_design.potential import Potential
from mlip_design.stored_model import CheckpointError, StoredModel, read_model

BLOCK_PATH = re.compile(r"mlip_design\.(potential|blocks\.\w+\.\w+)\.\w+")
NAMED = 3
"""Tensors that do not fit which a message names before it counts the rest."""


def load_potential(
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    allow: Sequence[str] = (),
) -> Potential:
    """The potential of a checkpoint, of the best one of a run folder, or of an exported model, in evaluation mode.

    dtype: floating-point type of its weights; None keeps the file's. allow: modules, such as 'mypackage.blocks',
    whose torch modules may be instantiated beside those of `mlip_design`. Raises CheckpointError or
    FileNotFoundError. Nothing is unpickled but tensors and plain containers.
    """
    return built(read_model(path), device, dtype, allow)


def built(
    model: StoredModel, device: str | torch.device, dtype: torch.dtype | None, allow: Sequence[str] = ()
) -> Potential:
    """The potential of what a file holds; arguments and errors as of `load_potential`."""
    check_config(model.config, model.file, allow)
    try:
        return restored(model, torch.device(device), dtype)
    except Exception as error:  # what blocks of another version, or missing and misshapen weights raise
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{model.file}: config and weights make no potential of this version ({reason})"
        ) from error


def restored(model: StoredModel, device: torch.device, dtype: torch.dtype | None) -> Potential:
    """The potential of a model whose config is harmless."""
    potential = instantiate(model.config)
    if not isinstance(potential, Potential):
        raise CheckpointError(f"its model is a {type(potential).__name__}")
    weights = [value for value in model.state.values() if value.is_floating_point() and value.ndim == 2]
    if not weights:
        raise CheckpointError("it has no weights")
    check_tensors(model.state, potential.state_dict())
    potential = potential.to(device=device, dtype=weights[0].dtype)
    potential.load_state_dict(model.state)
    return potential.to(dtype=dtype).eval().requires_grad_(False)


def check_tensors(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError naming tensors that are missing, superfluous, or of another shape or kind."""
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} belongs to no block" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        theirs, ours = found[name], expected[name]
        if theirs.shape != ours.shape:
            problems.append(f"{name} is of shape {list(theirs.shape)}, not {list(ours.shape)}")
        elif theirs.is_floating_point() != ours.is_floating_point():
            problems.append(f"{name} is of type {theirs.dtype}, not {ours.dtype}")
    if problems:
        others = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise CheckpointError("; ".join(problems[:NAMED]) + others)


def check_config(config: object, file: Path, allow: Sequence[str] = ()) -> None:
    """Refuse a configuration that is not plain data or would call anything but modules that are allowed."""
    if isinstance(config, dict):
        target = config.get("_target_")
        if target is not None and not (isinstance(target, str) and is_allowed(target, file, allow)):
            raise CheckpointError(
                f"{file}: refuses to instantiate {target!r}; only blocks of mlip_design are allowed, and those of "
                "modules that you name (--allow MODULE, allow=[...])"
            )
        for value in config.values():
            check_config(value, file, allow)
    elif isinstance(config, list):
        for value in config:
            check_config(value, file, allow)
    elif not (config is None or isinstance(config, bool | int | float | str)):
        raise CheckpointError(f"{file}: model_config must be plain data, not {type(config).__name__}")
    elif isinstance(config, str) and "${" in config:  # resolving it could make a target out of nothing
        raise CheckpointError(f"{file}: refuses the interpolation {config!r} in its model_config")


def is_allowed(target: str, file: Path, allow: Sequence[str]) -> bool:
    """Whether a dotted path names a torch module that `mlip_design`, or a module named by the user, defines there."""
    homes = [name for name in allow if target.startswith(f"{name}.")]
    if not (homes or BLOCK_PATH.fullmatch(target)):
        return False
    try:
        found = get_object(target)
    except Exception as error:  # whatever importing a name that does not exist raises
        if homes:
            raise CheckpointError(f"{file}: {target!r} cannot be imported ({error.__cause__ or error})") from error
        return False
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        return False
    return any(f"{found.__module__}.".startswith(f"{home}.") for home in homes or ["mlip_design"])
