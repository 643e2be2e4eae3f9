"""A potential as files hold it, a plain configuration and named tensors, read without running what they may name.

Training writes checkpoints, files of torch of which only tensors and plain containers are unpickled. For sharing there
is a folder of two files that cannot carry code:

    model.yaml           schema, configuration (`model`), and for people what it knows, its training and its metrics
    model.safetensors    the tensors

The package brings some of these folders along: models/NAME is `NAME-bundled` wherever a model is named.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

SCHEMA = 1
BEST = "checkpoints/best.ckpt"
DESCRIPTION, WEIGHTS = "model.yaml", "model.safetensors"
MODELS, BUNDLED = Path(__file__).parent / "models", "-bundled"
PREFIX = "potential."
"""Of the names of a potential's tensors in a checkpoint, which holds others, too."""


class CheckpointError(ValueError):
    """A file that holds no usable potential; the message names it and says why."""


@dataclass(frozen=True)
class StoredModel:
    """What was read; nothing of it has been checked or built yet."""

    file: Path
    """For messages."""
    config: object
    """What builds the potential, if it is a mapping of plain values."""
    state: dict[str, Tensor]
    """Name -> tensor."""


def model_files(path: str | Path) -> list[Path]:
    """The files of a model argument: a checkpoint, the best one of a run folder, or those of an exported model.

    That may be one of the package, as NAME-bundled. Raises FileNotFoundError.
    """
    path = Path(path)
    if path.name.endswith(BUNDLED) and path.parent == Path() and not path.exists():
        path = bundled_model(path.name)
    if path.name in (DESCRIPTION, WEIGHTS):
        path = path.parent
    if (path / DESCRIPTION).exists() or (path / WEIGHTS).exists():
        files = [path / DESCRIPTION, path / WEIGHTS]
    else:
        files = [path / BEST if path.is_dir() else path]
    for file in files:
        if not file.exists():
            raise FileNotFoundError(f"{file}: no such {'file' if len(files) > 1 else 'checkpoint'}")
    return files


def bundled_models() -> dict[str, Path]:
    """Name -> folder of every model of the package."""
    return {f"{file.parent.name}{BUNDLED}": file.parent for file in sorted(MODELS.glob(f"*/{DESCRIPTION}"))}


def bundled_model(name: str) -> Path:
    """The folder of a model of the package. Raises FileNotFoundError."""
    found = bundled_models()
    if name not in found:
        close = get_close_matches(name, found, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise FileNotFoundError(f"{name}: no such model in the package, which has {', '.join(found)}{hint}")
    return found[name]


def read_model(path: str | Path) -> StoredModel:
    """What a model argument holds. Raises CheckpointError or FileNotFoundError."""
    files = model_files(path)
    return read_shared(*files) if len(files) > 1 else read_checkpoint(*files)


def read_checkpoint(file: Path) -> StoredModel:
    """What a checkpoint of training holds of its potential. Raises CheckpointError."""
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged or unsafe files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{file}: cannot be read as a checkpoint ({reason})") from error
    if not isinstance(checkpoint, dict) or "model_config" not in checkpoint:
        raise CheckpointError(f"{file}: holds no model_config, so it was not written by mlip_design")
    state = checkpoint.get("state_dict")
    named = state.items() if isinstance(state, dict) else ()
    found = {str(k).removeprefix(PREFIX): v for k, v in named if str(k).startswith(PREFIX)}
    return StoredModel(file, checkpoint["model_config"], {k: v for k, v in found.items() if isinstance(v, Tensor)})


def read_shared(description: Path, weights: Path) -> StoredModel:
    """What the two files of an exported model hold. Raises CheckpointError."""
    try:
        text = description.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise CheckpointError(f"{description}: refuses aliases, which can stand for any number of values")
        found = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{description}: cannot be read as plain YAML ({reason})") from error
    if not (isinstance(found, dict) and {"schema", "model"} <= found.keys()):
        raise CheckpointError(f"{description}: holds no schema and model, so mlip-design export did not write it")
    if found["schema"] != SCHEMA:
        raise CheckpointError(f"{description}: schema is {found['schema']!r}, this version reads {SCHEMA}")
    try:
        state = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{weights}: cannot be read as safetensors ({error})") from error
    return StoredModel(description, found["model"], state)


def write_shared(folder: Path, state: Mapping[str, Tensor], described: Mapping[str, Any]) -> None:
    """Write an exported model; the folder appears when it is whole. described: what follows the schema in model.yaml.

    Raises OSError, and ValueError for a folder that exists.
    """
    if folder.exists():
        raise ValueError(f"{folder}: exists already; choose another name")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        # safetensors' own save_file makes a file that nobody else may read.
        tensors = {name: tensor.cpu().clone().contiguous() for name, tensor in state.items()}
        (partial / WEIGHTS).write_bytes(save(tensors))
        with open(partial / DESCRIPTION, "w", encoding="utf-8") as file:
            text = {"sort_keys": False, "allow_unicode": True, "width": 100}
            yaml.safe_dump({"schema": SCHEMA, **described}, file, **text)
        os.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
