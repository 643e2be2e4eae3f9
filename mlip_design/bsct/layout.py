"""Where the files of bond scans are: a folder in the published layout (see `scans`), or a tar archive of one."""

import difflib
import re
import tarfile
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

SYSTEM_FILE = re.compile(r"atoms_.*\.xyz|unperturbed\.xyz|partition\.npz")


class ScanError(ValueError):
    """A scan, or a set of scans, that cannot be used: one line naming the file and what is wrong with it."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))


@dataclass(frozen=True)
class SystemFiles:
    """The files of one system: their location for messages, and a reader of bytes for each file name."""

    bond: str
    system_id: str
    location: str
    readers: dict[str, Callable[[], bytes]]


def find_systems(root: Path) -> list[SystemFiles]:
    """Every system of a folder or archive, sorted by bond type, then identifier; contents are not checked."""
    if root.is_dir():
        files, separator = _folder_files(root), "/"
    elif root.is_file():
        files, separator = _archive_files(root), ":"
    else:
        raise ScanError(f"{root}: no such folder or archive")

    if not files:
        raise ScanError(f"{root}: no system found, expected <bond>/<system_id>/partition.npz and atoms_0.xyz ...")

    # <bond>/<system_id>/<file>, or the same below one top folder
    depth = min(len(path.parts) for path in files)
    files = {path: reader for path, reader in files.items() if len(path.parts) == depth}
    tops = sorted({str(PurePosixPath(*path.parts[:-3])) for path in files})
    if len(tops) > 1:
        raise ScanError(f"{root}: scans under several folders ({', '.join(tops)}), expected one")

    grouped = defaultdict(dict)
    for path, reader in files.items():
        grouped[path.parent][path.name] = reader
    systems = [
        SystemFiles(folder.parts[-2], folder.parts[-1], f"{root}{separator}{folder}", readers)
        for folder, readers in grouped.items()
    ]
    return sorted(systems, key=_order)


def _folder_files(root: Path) -> dict[PurePosixPath, Callable[[], bytes]]:
    """Readers of a folder's system files by relative path."""
    for pattern in ("*/*/*", "*/*/*/*"):
        paths = [path for path in root.glob(pattern) if SYSTEM_FILE.fullmatch(path.name)]
        if paths:
            return {PurePosixPath(*path.relative_to(root).parts): path.read_bytes for path in paths}
    return {}


def _archive_files(path: Path) -> dict[PurePosixPath, Callable[[], bytes]]:
    """Readers of an archive's system files by relative path, all contents held in memory."""
    files = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if member.isfile() and SYSTEM_FILE.fullmatch(name.name) and len(name.parts) in (3, 4):
                    files[name] = partial(bytes, archive.extractfile(member).read())
    except Exception as error:  # damaged archives raise the errors of every layer below
        raise ScanError(f"{path}: not a readable tar archive ({error})") from error
    return files


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
