"""ASE databases in SQLite (`.db`), a thousand rows at a time."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ase.db import connect
from ase.db.row import AtomsRow

from mlip_design.data.formats.ase_files import from_labelled
from mlip_design.data.formats.contract import Entry, Labels, attempt
from mlip_design.structures import Structure

CHUNK = 1000
"""Rows that are in memory together; ASE would take all."""


def read_database(path: Path, labels: Labels) -> Iterator[Entry]:
    """Entries of a database. Labels are results, key-value pairs or data of a row; constraints do not change forces."""
    with connect(path, type="db", use_lock_file=False, serial=True) as database:
        total, seen, last = database.count(), 0, 0
        while rows := list(database.select(f"id>{last}", limit=CHUNK, sort="id")):
            for row in rows:
                seen, last = seen + 1, row.id
                where = f"{path}, row {row.id}"
                yield attempt(where, seen / total, partial(from_row, row, where, labels))


def from_row(row: AtomsRow, where: str, labels: Labels) -> tuple[Structure, str | None]:
    """The structure of a row, and its group."""
    atoms = row.toatoms()
    atoms.info.update({**row.data, **row.key_value_pairs})
    return from_labelled(atoms, where, labels)
