"""Files, compressed or not, as one stream of bytes that knows how far it has come."""

import bz2
import gzip
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

COMPRESSED = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}


class Stream:
    """bytes: the content, unpacked. raw: the file as it is, of `size` bytes."""

    def __init__(self, content: BinaryIO, raw: BinaryIO, size: int):
        self.content = content
        self.raw = raw
        self.size = size

    @property
    def fraction(self) -> float:
        """How much of the file was read, from 0 to 1."""
        return self.raw.tell() / self.size if self.size else 1.0


@contextmanager
def streamed(path: Path) -> Iterator[Stream]:
    """Open a file; what `COMPRESSED` names is unpacked on the way. Raises OSError."""
    with path.open("rb") as raw:
        size = path.stat().st_size
        if path.suffix not in COMPRESSED:
            yield Stream(raw, raw, size)
            return
        with COMPRESSED[path.suffix](raw) as content:
            yield Stream(content, raw, size)


def bare_suffix(path: Path) -> str:
    """The suffix of a file name in lower case, that of a compression left out: '.xyz' of both a.xyz and a.XYZ.gz."""
    return Path(path.stem if path.suffix in COMPRESSED else path.name).suffix.lower()
