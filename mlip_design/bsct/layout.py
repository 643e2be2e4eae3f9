"""Where the files of bond scans are: a folder in the published layout (see `scans`), or a tar archive of one."""

import difflib
import os
import re
import tarfile
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

SYSTEM_FILE = re.compile(r"atoms_.*\.xyz|unperturbed\.xyz|partition\.npz")

Files = dict[str, tuple[Callable[[], bytes], tuple]]
"""Name of a file -> what reads it, and its state."""


class ScanError(ValueError):
    """A scan, or a set of scans, that cannot be used: one line naming the file and what is wrong with it."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))


@dataclass(frozen=True)
class SystemFiles:
    """The files of one system: their location for messages, and a reader of bytes for each file name.

    states: of the files on disk, something that changes whenever they are written, by file name.
    """

    bond: str
    system_id: str
    location: str
    readers: dict[str, Callable[[], bytes]]
    states: dict[str, tuple]

    @property
    def name(self) -> str:
        """Bond type and identifier, such as "C-N/25729"."""
        return f"{self.bond}/{self.system_id}"


def find_systems(root: Path) -> list[SystemFiles]:
    """Every system of a folder or archive, sorted by bond type, then identifier; contents are not checked."""
    if root.is_dir():
        found, separator = _folder_systems(root), "/"
    elif root.is_file():
        found, separator = _archive_systems(root), ":"
    else:
        raise ScanError(f"{root}: no such folder or archive")

    if not found:
        raise ScanError(f"{root}: no system found, expected <bond>/<system_id>/partition.npz and atoms_0.xyz ...")

    # <bond>/<system_id>, or the same below one top folder
    depth = min(map(len, found))
    found = {folder: files for folder, files in found.items() if len(folder) == depth}
    tops = sorted({"/".join(folder[:-2]) or "." for folder in found})
    if len(tops) > 1:
        raise ScanError(f"{root}: scans under several folders ({', '.join(tops)}), expected one")

    systems = []
    for folder, files in found.items():
        readers = {name: reader for name, (reader, _) in files.items()}
        states = {name: state for name, (_, state) in files.items()}
        location = f"{root}{separator}{'/'.join(folder)}"
        systems.append(SystemFiles(folder[-2], folder[-1], location, readers, states))
    return sorted(systems, key=_order)


def _folder_systems(root: Path) -> dict[tuple[str, ...], Files]:
    """Systems of a folder by relative path; one without files counts where its bond type has others."""
    for depth in (2, 3):
        folders = [path for path in Path(os.path.abspath(root)).glob("/".join("*" * depth)) if path.is_dir()]
        found = {path.parts[-depth:]: _folder_files(path) for path in folders if not path.name.startswith(".")}
        bonds = {folder[:-1] for folder, files in found.items() if files}
        if bonds:
            return {folder: files for folder, files in found.items() if folder[:-1] in bonds}
    return {}


def _folder_files(folder: Path) -> Files:
    with os.scandir(folder) as entries:
        paths = {entry.name: entry.path for entry in entries if SYSTEM_FILE.fullmatch(entry.name)}
    return {name: (partial(_content, path), _state(path)) for name, path in paths.items()}


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _archive_systems(path: Path) -> dict[tuple[str, ...], Files]:
    """Systems of an archive by relative path, all contents held in memory."""
    found, state = defaultdict(dict), _state(path)
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                *folder, name = PurePosixPath(member.name).parts or [""]
                if member.isfile() and SYSTEM_FILE.fullmatch(name) and len(folder) in (2, 3):
                    found[tuple(folder)][name] = partial(bytes, archive.extractfile(member).read()), state
    except Exception as error:  # damaged archives raise the errors of every layer below
        raise ScanError(f"{path}: not a readable tar archive ({error})") from error
    return found


def _state(path: str | Path) -> tuple:
    """Place, inode, size and both times of a file (ns); none if it cannot be looked at (a dangling link)."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def select_systems(
    systems: list[SystemFiles], root: Path, bonds: Sequence[str] | None, limit: int | None
) -> list[SystemFiles]:
    """Keep the bond types asked for, then the first `limit` systems taken in turn from every bond type."""
    by_bond = defaultdict(list)
    for system in systems:
        by_bond[system.bond].append(system)
    if bonds is not None:
        bonds = [bonds] if isinstance(bonds, str) else list(bonds)
        by_bond = {_known_bond(bond, by_bond, root): by_bond[bond] for bond in bonds}
    if not by_bond:
        raise ScanError(f"{root}: no system left, bonds is {bonds}")
    ranked = [(rank, *_order(system), system) for group in by_bond.values() for rank, system in enumerate(group)]
    ranked.sort(key=lambda entry: entry[:3])
    return sorted((system for *_, system in ranked[:limit]), key=_order)


def _order(system: SystemFiles) -> tuple[str, str]:
    return system.bond, system.system_id


def _known_bond(bond: str, known: Collection[str], root: Path) -> str:
    """The bond type itself when it is known; otherwise an error that names the closest one."""
    if bond in known:
        return bond
    turned = "-".join(reversed(str(bond).split("-")))
    closest = turned if turned in known else difflib.get_close_matches(str(bond), known, n=1, cutoff=0.0)[0]
    raise ScanError(f"{root}: no bond type {bond!r} in {', '.join(known)}; closest is {closest!r}")
