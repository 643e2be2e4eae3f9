"""From sources of any format to one store."""

import re
from collections import Counter
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

    Raises FileNotFoundError; StructureError for a destination that exists, a file that cannot be read to its end, and
    sources without any usable structure. There is no store then, nor after a kill.
    """
    files, others = find_files(sources)
    left_out: Counter[str] = Counter()
    first = ""
    with new_store(destination) as writer:
        for entry in all_entries(files, labels, progress):
            if entry.structure is None:
                writer.leave_out(entry.name, entry.reason)
                left_out[kind(entry.reason)] += 1
                first = first or f"{entry.name}: {entry.reason}"
            else:
                writer.add(entry.structure, entry.name, entry.group)
        if not writer.arrays["sizes"].length:
            raise StructureError(f"none of {left_out.total()} structures can be used; {first}")
        paths = [str(path) for path in files]
        contents = writer.finish(paths, asdict(labels), dict(left_out.most_common()))
    return Prepared(contents, [str(path) for path in others])


def all_entries(files: Sequence[Path], labels: Labels, progress: bool) -> Iterator[Entry]:
    """Entries of all files, with a bar in bytes on a terminal."""
    sizes = [size_of(path) for path in files]
    with tqdm(total=sum(sizes), unit="B", unit_scale=True, disable=None if progress else True) as bar:
        done = count = 0
        for path, size in zip(files, sizes, strict=True):
            bar.set_description(path.name)
            for entry in entries(path, labels):
                count += 1
                if count % 100 == 0:
                    bar.set_postfix(structures=count, refresh=False)
                    bar.update(done + round(entry.fraction * size) - bar.n)
                yield entry
            done += size
        bar.update(done - bar.n)


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files in a folder."""
    return sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size


def kind(reason: str) -> str:
    """A reason without its numbers, so that like reasons are counted together."""
    return re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "…", reason)
