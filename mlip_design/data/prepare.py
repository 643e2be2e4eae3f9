"""From sources of any format to one store."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from mlip_design.data.formats.contract import Entry, Labels
from mlip_design.data.reading import entries, find_files
from mlip_design.data.store import Contents
from mlip_design.data.store_writer import new_store
from mlip_design.structures import StructureError


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did."""

    contents: Contents
    others: list[str]
    """Files in the folders that no reader is known for."""


def prepare(sources: Sequence[Path], destination: Path, labels: Labels, progress: bool) -> Prepared:
    """Write the structures of all sources to a new store; those that cannot be used are named in it, and why.

    Stopped or killed, the same question goes on after the last source that was done. Raises FileNotFoundError;
    StructureError for a destination that exists, a file that cannot be read to its end, and sources without any usable
    structure. There is no store then, nor after a kill.
    """
    files, others = find_files(sources)
    paths = [str(path) for path in files]
    state = [[str(path.resolve()), size_of(path), path.stat().st_mtime_ns] for path in files]
    with new_store(destination, {"files": state, "labels": asdict(labels)}) as writer:
        for found in each_file(files, writer.n_files, labels, progress):
            for entry in found:
                if entry.structure is None:
                    writer.leave_out(entry.name, entry.reason)
                else:
                    writer.add(entry.structure, entry.name, entry.group)
            writer.end_file()
        if not writer.arrays["sizes"].length:
            raise StructureError(
                f"none of {writer.left_out.total()} structures can be used; {writer.first_left_out}"
            )
        contents = writer.finish(paths, asdict(labels))
    return Prepared(contents, [str(path) for path in others])


def each_file(files: Sequence[Path], first: int, labels: Labels, progress: bool) -> Iterator[Iterator[Entry]]:
    """The entries of every file from the first one on, with a bar in bytes on a terminal."""
    sizes = [size_of(path) for path in files]
    done = sum(sizes[:first])
    with tqdm(
        total=sum(sizes), initial=done, unit="B", unit_scale=True, disable=None if progress else True
    ) as bar:
        for path, size in zip(files[first:], sizes[first:], strict=True):
            bar.set_description(path.name)
            yield shown(entries(path, labels), done, size, bar)
            done += size
            bar.update(done - bar.n)


def shown(found: Iterator[Entry], done: int, size: int, bar: tqdm) -> Iterator[Entry]:
    """Entries of a file of some size, with a bar that is moved on; done: bytes of the files before."""
    for count, entry in enumerate(found, start=1):
        if count % 100 == 0:
            bar.update(done + round(entry.fraction * size) - bar.n)
        yield entry


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files in a folder."""
    return sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size
