"""Files of arrays that are either whole or not there, and where those live that can be made again."""

import io
import os
import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def cache_folder() -> Path:
    """`$MLIP_DESIGN_CACHE`, else `~/.cache/mlip_design`; whatever is in it may be deleted at any time."""
    return Path(os.environ.get("MLIP_DESIGN_CACHE") or Path("~/.cache/mlip_design").expanduser())


def save_whole(path: Path, content: bytes) -> None:
    """Write a file that takes its place in one step, whoever else does the same. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name, as `save_whole` does."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    save_whole(path, content.getvalue())


def load_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """What `save_arrays` wrote; None if there is no such file or it is damaged. Nothing is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except Exception:  # zip, zlib and NumPy raise many kinds on damaged files
        return None
