"""Stores of water molecules, and what it means that two structures are the same."""

from pathlib import Path

import ase.io
import numpy as np
from data_files import waters

from mlip_design.data.formats.contract import Labels
from mlip_design.data.prepare import Prepared, prepare
from mlip_design.structures import Structure


def stored(*sources: Path, to: Path, **labels: str) -> Prepared:
    """Prepare a store without a progress bar."""
    return prepare(sources, to, Labels(**labels), progress=False)


def written(path: Path, count: int = 6, **info) -> Path:
    """An XYZ file of water molecules."""
    images = waters(count)
    for atoms in images:
        atoms.info.update(info)
    ase.io.write(path, images, format="extxyz")
    return path


def same(one: Structure, other: Structure) -> bool:
    """Whether two structures agree to the last bit."""
    stresses = (one.stress is None) == (other.stress is None)
    names = (
        "numbers",
        "positions",
        "cell",
        "pbc",
        "energy",
        "forces",
        *(["stress"] if one.stress is not None else []),
    )
    return stresses and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
