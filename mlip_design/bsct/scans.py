"""Bond scans: one bond of a molecule stretched and compressed rigidly, with reference energies and forces.

Published layout (arXiv:2602.04861), as a folder or as a tar archive of it:

    <root>/<bond>/<system_id>/atoms_0.xyz ... atoms_<count-1>.xyz   extended XYZ, energy (eV), forces (eV/Å), stress
    <root>/<bond>/<system_id>/partition.npz                         bond, bond_index, perturb_range, ...

What was read once is kept in a cache, see `scan_cache`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from mlip_design.bsct.layout import ScanError, SystemFiles, find_systems, select_systems
from mlip_design.bsct.reading import read_system
from mlip_design.bsct.scan import Scan
from mlip_design.bsct.scan_cache import ScanCache

__all__ = ["Scan", "ScanError", "ScanSet", "load_scans", "read_scans"]


class ScanSet(NamedTuple):
    """What could be read of a set of scans, and what could not."""

    scans: list[Scan]
    """Sorted by bond type, then identifier."""
    left_out: dict[str, str]
    """Name of a system -> what is wrong with its files, in one line."""


def load_scans(
    root: str | Path, bonds: Sequence[str] | None = None, limit: int | None = None, progress: bool = False
) -> list[Scan]:
    """Read the scans below `root`, sorted by bond type, then identifier (both as text).

    Args:
        root: folder in the published layout, or a tar archive of one (any compression `tarfile` knows).
        bonds: bond types to keep; all of them when None.
        limit: number of systems to keep, taken in turn from every bond type; all of them when None.
        progress: show a progress bar, if stderr is a terminal.

    Raises:
        ScanError: for anything missing, unreadable or inconsistent; nothing is skipped.
    """
    scans = []
    for _, found in _read(Path(root), bonds, limit, progress):
        if isinstance(found, ScanError):
            raise found
        scans.append(found)
    return scans


def read_scans(
    root: str | Path, bonds: Sequence[str] | None = None, limit: int | None = None, progress: bool = False
) -> ScanSet:
    """As `load_scans`, but a system whose files are wrong is left out, with the reason.

    Raises ScanError only where there is nothing to read at all, or for bonds and limit.
    """
    scans, left_out = [], {}
    for name, found in _read(Path(root), bonds, limit, progress):
        if isinstance(found, ScanError):
            left_out[name] = str(found)
        else:
            scans.append(found)
    return ScanSet(scans, left_out)


def _read(
    root: Path, bonds: Sequence[str] | None, limit: int | None, progress: bool
) -> Iterator[tuple[str, Scan | ScanError]]:
    """Every system by name, from the cache or from its files; those read for the first time are kept at the end."""
    if limit is not None and limit < 1:
        raise ScanError(f"limit is {limit!r}, expected a positive number of systems or None")
    systems = select_systems(find_systems(root), root, bonds, limit)
    cache = ScanCache(systems)
    known, fresh = cache.load(), []
    # no bar where nobody sees it move, none left above an error message
    with tqdm(systems, "scans", disable=None if progress else True, leave=False) as bar:
        for system in bar:
            found = known.get(system.name) or _read_or_error(system)
            if isinstance(found, Scan) and system.name not in known:
                fresh.append(found)
            yield system.name, found
    if fresh:
        cache.save([*known.values(), *fresh])


def _read_or_error(system: SystemFiles) -> Scan | ScanError:
    try:
        return read_system(system)
    except ScanError as error:
        return error
