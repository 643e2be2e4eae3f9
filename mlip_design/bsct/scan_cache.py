"""Scans that were read before, in one binary file a set, found by the content of the set's files.

Hashing 25,000 small files takes seconds, so the hash itself is remembered for as long as no file has changed place,
inode, size, time of modification or time of change of its inode. The last of these no program can set back, and what
changed within `RACE` before it was hashed is hashed again next time; a file system that keeps no such time, or a
clock that was set back, can deceive this. Damaged files of the cache count as missing.
"""

import contextlib
import hashlib
import time
import warnings
from collections.abc import Sequence

from mlip_design.bsct.layout import SystemFiles
from mlip_design.bsct.packing import pack, unpack
from mlip_design.bsct.scan import Scan
from mlip_design.bsct.storage import load_arrays, save_arrays
from mlip_design.files import cache_folder, replacing

FORMAT = b"scans 3"
"""Changes with the meaning of what is stored."""
RACE = 2.0
"""s; coarser than the clock of any file system in use."""


class ScanCache:
    """What is known of some systems. systems: as found on disk, their contents unread."""

    def __init__(self, systems: Sequence[SystemFiles]):
        self.folder = cache_folder() / "scans"
        self.path = self.folder / f"{self._content(systems)}.npz"

    def load(self) -> dict[str, Scan]:
        """Scans by name; those of systems that cannot be read are never among them."""
        arrays = load_arrays(self.path)
        try:
            return {scan.name: scan for scan in unpack(arrays or {})}
        except (KeyError, ValueError):
            return {}

    def save(self, scans: Sequence[Scan]) -> None:
        """Keep scans for the next time; a cache that cannot be written is a warning."""
        try:
            save_arrays(self.path, pack(scans))
        except OSError as error:
            warnings.warn(f"scans are read anew each time, the cache cannot be written: {error}", stacklevel=2)

    def _content(self, systems: Sequence[SystemFiles]) -> str:
        """Hash of names and contents of all files, remembered where that is safe."""
        states = [(system.name, sorted(system.states.items())) for system in systems]
        memory = self.folder / f"{hashlib.sha256(FORMAT + repr(states).encode()).hexdigest()}.key"
        started = time.time_ns()
        try:
            return memory.read_text(encoding="ascii")
        except (OSError, ValueError):
            content = content_hash(systems)
        times = [state[-1] if state else started for system in systems for state in system.states.values()]
        if started - max(times, default=started) > RACE * 1e9:
            with contextlib.suppress(OSError), replacing(memory, shared=True) as file:  # `save` says so
                file.write(content)
        return content


def content_hash(systems: Sequence[SystemFiles]) -> str:
    """Hash of names and contents of all files of some systems."""
    found = hashlib.sha256(FORMAT)
    for system in systems:
        for name, reader in sorted(system.readers.items()):
            try:
                content = reader()
            except OSError as error:
                content = repr(error).encode()
            found.update(f"\n{system.name}/{name} {len(content)}\n".encode())
            found.update(content)
    return found.hexdigest()
