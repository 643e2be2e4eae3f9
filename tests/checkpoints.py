"""Checkpoints as training writes them, and a molecule to try them on, for the tests."""

from pathlib import Path

import ase
import torch
from ase.build import molecule
from conftest import BASE_MODEL, build, small_config


def contents(model: str = BASE_MODEL, dtype: torch.dtype = torch.float32) -> dict:
    """What training writes, as far as a potential is concerned."""
    state = build(f"model={model}", dtype=dtype).state_dict()
    return {
        "model_config": small_config(f"model={model}"),
        "state_dict": {**{f"potential.{k}": v for k, v in state.items()}, "metrics.val.total": torch.zeros(1)},
        "epoch": 3,
    }


def saved(path: Path, **changes) -> Path:
    """A checkpoint file with parts of it changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(contents() | changes, path)
    return path


def methanol() -> ase.Atoms:
    """A molecule away from its minimum."""
    atoms = molecule("CH3OH")
    atoms.rattle(0.05, seed=2)
    return atoms
