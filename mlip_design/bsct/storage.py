"""Files of arrays that are either whole or not there."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mlip_design.files import replacing


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name, whoever else does the same. Raises OSError."""
    with replacing(path, "wb", shared=True) as file:
        np.savez(file, **arrays)


def load_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """What `save_arrays` wrote; None if there is no such file or it is damaged. Nothing is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except Exception:  # zip, zlib and NumPy raise many kinds on damaged files
        return None
