"""How a store is written: one structure at a time, in bounded memory, under a hidden name until it is whole."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np

from mlip_design.data.packing import packed_row
from mlip_design.data.store import INDEX, LAYOUT, Contents
from mlip_design.structures import Structure, StructureError

BUFFER = 1 << 20
"""Bytes that a file gathers before it writes them."""


class ArrayFile:
    """A `.npy` file that grows by rows; its header is written again when its length is known."""

    def __init__(self, path: Path, kind: str, row: tuple[int, ...]):
        self.file = path.open("wb", buffering=BUFFER)
        self.kind, self.row, self.length = kind, row, 0
        self.write_header()

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


class StoreWriter:
    """Fills a folder with the files of a store; `finish` makes it one."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.arrays = {name: ArrayFile(folder / f"{name}.npy", *layout) for name, layout in LAYOUT.items()}
        self.names, self.group_names, self.left_out = (
            (folder / f"{name}.txt").open("w", encoding="utf-8", newline="\n", buffering=BUFFER)
            for name in ("names", "groups", "left_out")
        )
        self.group_numbers: dict[str, int] = {}
        self.n_groups = 0
        self.occurring = np.zeros(256, dtype=bool)

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
        self.names.write(one_line(name))

    def leave_out(self, name: str, reason: str) -> None:
        """Note a structure that is not in the store."""
        self.left_out.write(one_line(f"{name}: {reason}"))

    def group_number(self, group: str | None) -> int:
        """The number of a group, a new one if it was not there before."""
        number = self.group_numbers.get(group, self.n_groups) if group else self.n_groups
        if number == self.n_groups:
            self.n_groups += 1
            self.group_names.write(one_line(group or ""))
            if group:
                self.group_numbers[group] = number
        return number

    def finish(self, sources: list[str], labels: dict[str, str | None], left_out: dict[str, int]) -> Contents:
        """Bring everything to the disk, the index last; what it says."""
        for file in (self.names, self.group_names, self.left_out):
            synchronise(file)
        for array in self.arrays.values():
            array.close()
        contents = Contents(
            structures=self.arrays["sizes"].length,
            atoms=self.arrays["numbers"].length,
            groups=self.n_groups,
            elements=np.flatnonzero(self.occurring).tolist(),
            sources=sources,
            labels=labels,
            left_out=left_out,
        )
        with open(self.folder / INDEX, "w", encoding="utf-8") as file:
            file.write(json.dumps(contents.as_json(), indent=1, ensure_ascii=False) + "\n")
            synchronise(file)
        return contents


@contextmanager
def new_store(folder: Path) -> Iterator[StoreWriter]:
    """A writer whose store appears as `folder` when it was finished; after any error, or a kill, there is none.

    Raises StructureError if `folder` exists, or if another process is making it.
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
            yield StoreWriter(partial)
            (partial / ".lock").unlink()
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def synchronise(file: BinaryIO | TextIO) -> None:
    """Bring a file to the disk and close it."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


def one_line(text: str) -> str:
    """A text as one line of a file."""
    return " ".join(text.split()) + "\n"
