"""LMDB files of ASE rows (`.aselmdb`), as fairchem and `ase-db-backends` write them.

Keys are row numbers from 1 and `nextid`, `deleted_ids`, `metadata`; values are JSON in ASE's encoding, compressed by
zlib. Nothing is unpickled: files of other layouts are refused.
"""

import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import lmdb
from ase.db.row import AtomsRow
from ase.io.jsonio import decode

from mlip_design.data.formats.ase_database import from_row
from mlip_design.data.formats.contract import Entry, Labels, attempt
from mlip_design.structures import Structure, StructureError


def read_aselmdb(path: Path, labels: Labels) -> Iterator[Entry]:
    """Entries of an LMDB file, or of the folder that LMDB makes of one. Labels as in an ASE database."""
    with lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False) as environment:
        check_whole(path, environment)
        with environment.begin() as transaction:
            total = content(transaction.get(b"nextid"), f"{path}, nextid") - 1
            deleted = transaction.get(b"deleted_ids")
            missing = set(content(deleted, f"{path}, deleted_ids")) if deleted else set()
            for index in range(1, total + 1):
                if index not in missing:
                    where, value = f"{path}, row {index}", transaction.get(str(index).encode())
                    yield attempt(where, index / total, partial(decoded, value, index, where, labels))


def check_whole(path: Path, environment: lmdb.Environment) -> None:
    """Raise StructureError if the file ends before its last page, reading which would kill the process."""
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    size = (path / "data.mdb" if path.is_dir() else path).stat().st_size
    if size < needed:
        raise StructureError(f"{path}: the file ends early ({size} of {needed} bytes)")


def content(value: bytes | None, where: str) -> object:
    """A value, decoded. Raises StructureError."""
    if value is None:
        raise StructureError(f"{where}: is not there, as it is in an LMDB of ASE rows (.aselmdb)")
    try:
        return decode(zlib.decompress(value).decode())
    except (zlib.error, ValueError) as error:
        raise StructureError(f"{where}: is no compressed JSON of ASE; nothing else is read ({error})") from error


def decoded(value: bytes | None, index: int, where: str, labels: Labels) -> tuple[Structure, str | None]:
    """The structure of a stored row, and its group."""
    return from_row(AtomsRow({**content(value, where), "id": index, "unique_id": ""}), where, labels)
