"""Files that are either whole or as they were before, and where those are kept that may be made again."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: str | Path, mode: str = "w", shared: bool = False) -> Iterator[IO]:
    """A file that takes the place of `path` in one step when it was written to its end.

    mode: 'w' for text or 'wb'. shared: whether other processes may do the same meanwhile; a kill then leaves a file
    behind that nobody writes over. Folders around it are made. Raises OSError.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex if shared else 'partial'}")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        with open(partial, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def cache_folder() -> Path:
    """`$MLIP_DESIGN_CACHE`, else `~/.cache/mlip_design`; whatever is in it may be deleted at any time."""
    return Path(os.environ.get("MLIP_DESIGN_CACHE") or Path("~/.cache/mlip_design").expanduser())
