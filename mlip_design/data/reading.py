"""Sources of structures, whatever their format, as one stream of entries; folders are searched for files."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mlip_design.data.formats.ase_database import read_database
from mlip_design.data.formats.ase_files import read_ase, read_xyz
from mlip_design.data.formats.aselmdb import read_aselmdb
from mlip_design.data.formats.contract import Entry, Labels
from mlip_design.data.formats.mptrj import read_mptrj
from mlip_design.data.formats.spice import read_spice
from mlip_design.data.store import is_store, read_store
from mlip_design.streams import bare_suffix, streamed
from mlip_design.structures import StructureError, closest_file

Reader = Callable[[Path, Labels], Iterator[Entry]]

READERS: dict[str, Reader] = {
    ".xyz": read_xyz,
    ".extxyz": read_xyz,
    ".db": read_database,
    ".aselmdb": read_aselmdb,
    ".lmdb": read_aselmdb,
    ".h5": read_spice,
    ".hdf5": read_spice,
    ".json": read_mptrj,
    ".traj": read_ase,
}
"""Suffix, that of a compression left out -> its reader."""


def find_files(sources: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Files and stores to read, in order, and those of the folders that no reader is known for.

    A file that is named is read in any case; of a folder, only files with a suffix of `READERS`, hidden ones left out.
    Raises FileNotFoundError, and StructureError for a folder without any.
    """
    files, others = [], []
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file or folder{closest_file(source)}")
        if not source.is_dir() or is_whole(source):
            files.append(source)
            continue
        found = sorted(inside(source))
        readable = [path for path in found if bare_suffix(path) in READERS or is_store(path)]
        if not readable:
            raise StructureError(f"{source}: holds no files to read; known are {', '.join(READERS)}")
        files += readable
        others += [path for path in found if path not in readable]
    return files, others


def inside(folder: Path) -> Iterator[Path]:
    """Files below a folder, and folders below it that are read as one thing; nothing hidden."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir() and not is_whole(path):
            yield from inside(path)
        else:
            yield path


def is_whole(folder: Path) -> bool:
    """Whether a folder is a store, or what LMDB makes of one file."""
    return is_store(folder) or (folder / "data.mdb").exists()


def entries(path: Path, labels: Labels) -> Iterator[Entry]:
    """Entries of a file or store. Raises StructureError, naming the file, where it cannot be read on."""
    yield from read_on(path, reader_of(path)(path, labels))


def read_on(path: Path, found: Iterator[Entry]) -> Iterator[Entry]:
    """What a reader finds in a file. Raises StructureError, naming the file, where it fails or finds nothing."""
    count = 0
    try:
        for entry in found:
            yield entry
            count += 1
    except StructureError:
        raise
    except Exception as error:  # each reader has exceptions of its own
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise StructureError(f"{path}: cannot be read on after {count} structures ({reason})") from error
    if not count:
        raise StructureError(f"{path}: holds no structures")


def reader_of(path: Path) -> Reader:
    """The reader of a path, by its suffix and, of JSON, by its beginning."""
    if is_store(path):
        return read_store
    if is_whole(path):
        return read_aselmdb
    reader = READERS.get(bare_suffix(path), read_ase)
    return read_ase if reader is read_mptrj and is_ase_json(path) else reader


def is_ase_json(path: Path) -> bool:
    """Whether a JSON file is a database of ASE, whose first key is a row number or a list of them."""
    with streamed(path) as stream:
        key = stream.content.read(4096).partition(b'"')[2].partition(b'"')[0]
    return key.isdigit() or key in (b"ids", b"nextid")
