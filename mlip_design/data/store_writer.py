"""How a store is written: one structure at a time, in bounded memory, under a hidden name until it is whole.

A writer that is stopped goes on after the last source of which everything had come to the disk.
"""

import fcntl
import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np

from mlip_design.data.packing import packed_row
from mlip_design.data.store import INDEX, LAYOUT, Contents
from mlip_design.files import replacing
from mlip_design.structures import Structure, StructureError

BUFFER = 1 << 20
"""Bytes that a file gathers before it writes them."""
SAVED, SAVE_SECONDS = "saved.json", 10.0
"""File that says how far a writer has come, and how seldom it is written."""
TEXTS = ("names", "groups", "left_out")


class ArrayFile:
    """A `.npy` file that grows by rows; its header is written again when its length is known.

    length: rows that it holds already; what comes after them is cut off.
    """

    def __init__(self, path: Path, kind: str, row: tuple[int, ...], length: int):
        self.file = path.open("r+b" if length else "w+b", buffering=BUFFER)
        self.kind, self.row, self.length = kind, row, length
        self.write_header()
        self.file.seek(length * np.dtype((kind, row)).itemsize, os.SEEK_CUR)
        self.file.truncate()

    def write_header(self) -> None:
        """NumPy leaves room in it for any length."""
        header = {"descr": self.kind, "fortran_order": False, "shape": (self.length, *self.row)}
        np.lib.format.write_array_header_1_0(self.file, header)

    def append(self, rows: np.ndarray) -> None:
        """Add rows, (n_rows, *row)."""
        self.file.write(np.ascontiguousarray(rows, dtype=self.kind).tobytes())
        self.length += len(rows)

    def close(self) -> None:
        """Finish the header and bring everything to the disk."""
        self.file.seek(0)
        self.write_header()
        synchronise(self.file)
        self.file.close()


@dataclass(frozen=True)
class Saved:
    """Up to where a store that is being made is on the disk."""

    asked: Any = None
    """What it is made of and how; a writer that makes something else begins anew."""
    n_files: int = 0
    """Sources of which everything is there."""
    lengths: dict[str, int] = field(default_factory=dict)
    """Array -> rows."""
    ends: dict[str, int] = field(default_factory=dict)
    """Text -> bytes."""
    elements: list[int] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    """Kind of reason -> how many structures."""
    first_left_out: str = ""


class StoreWriter:
    """Fills a folder with the files of a store; `finish` makes it one.

    saved: where an earlier writer had come to.
    """

    def __init__(self, folder: Path, saved: Saved):
        self.folder, self.asked, self.n_files = folder, saved.asked, saved.n_files
        self.arrays = {
            name: ArrayFile(folder / f"{name}.npy", *layout, saved.lengths.get(name, 0))
            for name, layout in LAYOUT.items()
        }
        self.texts = {name: TextFile(folder / f"{name}.txt", saved.ends.get(name, 0)) for name in TEXTS}
        groups = self.texts["groups"].lines()
        self.group_numbers = {group: number for number, group in enumerate(groups) if group}
        self.n_groups = len(groups)
        self.occurring = np.zeros(256, dtype=bool)
        self.occurring[saved.elements] = True
        self.left_out = Counter(saved.left_out)
        self.first_left_out = saved.first_left_out
        self.saved_at = time.monotonic()

    def add(self, structure: Structure, name: str, group: str | None) -> None:
        """Append a labelled structure. group: None for one of its own."""
        row = packed_row(structure)
        self.occurring[row.numbers] = True
        for key, rows in (
            ("sizes", [len(row.numbers)]),
            ("groups", [self.group_number(group)]),
            ("numbers", row.numbers),
            ("atom_values", row.atom_values),
            ("graph_values", row.graph_values[None]),
        ):
            self.arrays[key].append(np.asarray(rows))
        self.texts["names"].write(name)

    def leave_out(self, name: str, reason: str) -> None:
        """Note a structure that is not in the store."""
        self.texts["left_out"].write(f"{name}: {reason}")
        self.left_out[kind(reason)] += 1
        self.first_left_out = self.first_left_out or f"{name}: {reason}"

    def group_number(self, group: str | None) -> int:
        """The number of a group, a new one if it was not there before."""
        known = one_line(group or "")
        number = self.group_numbers.get(known, self.n_groups) if known else self.n_groups
        if number == self.n_groups:
            self.n_groups += 1
            self.texts["groups"].write(known)
            if known:
                self.group_numbers[known] = number
        return number

    @property
    def elements(self) -> list[int]:
        """Atomic numbers that occur, ascending."""
        return np.flatnonzero(self.occurring).tolist()

    def end_file(self) -> None:
        """A source has come to its end: from time to time, bring to the disk what there is, and note it."""
        self.n_files += 1
        if time.monotonic() < self.saved_at + SAVE_SECONDS:
            return
        for one in (*self.arrays.values(), *self.texts.values()):
            synchronise(one.file)
        saved = Saved(
            asked=self.asked,
            n_files=self.n_files,
            lengths={name: array.length for name, array in self.arrays.items()},
            ends={name: text.file.tell() for name, text in self.texts.items()},
            elements=self.elements,
            left_out=dict(self.left_out),
            first_left_out=self.first_left_out,
        )
        with replacing(self.folder / SAVED) as file:
            json.dump(asdict(saved), file, ensure_ascii=False)
        self.saved_at = time.monotonic()

    def finish(self, sources: list[str], labels: dict[str, str | None]) -> Contents:
        """Bring everything to the disk, the index last; what it says."""
        for one in (*self.texts.values(), *self.arrays.values()):
            one.close()
        contents = Contents(
            structures=self.arrays["sizes"].length,
            atoms=self.arrays["numbers"].length,
            groups=self.n_groups,
            elements=self.elements,
            sources=sources,
            labels=labels,
            left_out=dict(self.left_out.most_common()),
        )
        with open(self.folder / INDEX, "w", encoding="utf-8") as file:
            file.write(json.dumps(contents.as_json(), indent=1, ensure_ascii=False) + "\n")
            synchronise(file)
        return contents


class TextFile:
    """A text that grows by lines. end: bytes of it that count; the others are cut off."""

    def __init__(self, path: Path, end: int):
        self.file = path.open("r+b" if end else "w+b", buffering=BUFFER)
        self.file.seek(end)
        self.file.truncate()

    def write(self, text: str) -> None:
        """Add one line."""
        self.file.write(f"{one_line(text)}\n".encode())

    def lines(self) -> list[str]:
        """All of them; goes on at the end."""
        self.file.seek(0)
        return self.file.read().decode().split("\n")[:-1]

    def close(self) -> None:
        """Bring everything to the disk."""
        synchronise(self.file)
        self.file.close()


@contextmanager
def new_store(folder: Path, asked: Any = None) -> Iterator[StoreWriter]:
    """A writer whose store appears as `folder` when it was finished; after any error, or a kill, there is none.

    asked: what the store is made of and how, plain data. A writer that was stopped after some sources goes on for the
    same question (`n_files` of them are done), and begins anew for another one or for none. Raises StructureError if
    `folder` exists, or if another process is making it.
    """
    if folder.exists():
        raise StructureError(f"{folder}: exists, and is not written over; name a new store")
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        lock = stack.enter_context(open(partial / ".lock", "a"))
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StructureError(f"{folder}: another process is making it") from None
        try:
            yield StoreWriter(partial, read_saved(partial / SAVED, asked))
            for name in (SAVED, ".lock"):
                (partial / name).unlink(missing_ok=True)
            partial.rename(folder)
        except BaseException:
            if not (partial / SAVED).exists():
                shutil.rmtree(partial, ignore_errors=True)
            raise


def read_saved(path: Path, asked: Any) -> Saved:
    """Where a writer of the same store had come to; the beginning if there was none."""
    try:
        saved = Saved(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Saved(asked)
    if asked is not None and saved.asked == asked:
        return saved
    path.unlink()
    return Saved(asked)


def synchronise(file: BinaryIO | TextIO) -> None:
    """Bring a file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def kind(reason: str) -> str:
    """A reason without its numbers, so that like reasons are counted together."""
    return re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "…", reason)


def one_line(text: str) -> str:
    """A text as one line of a file."""
    return " ".join(text.split())
