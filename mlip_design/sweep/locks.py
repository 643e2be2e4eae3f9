"""Locks between processes, on files.

Record locks of the operating system: not inherited by child processes and gone with the process that holds them,
however it ends, so that nothing is left to clean up after a kill. They do not exclude threads of one process.
"""

import fcntl
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the lock on a file, which is made if it is not there, and hold it."""
    with open(path, "a") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


class JournalLock:
    """The lock under which Optuna appends to a journal. path: the journal."""

    def __init__(self, path: Path):
        self.path = path.with_name(f"{path.name}.lock")

    def acquire(self) -> bool:
        """Wait for the lock; True."""
        self.file = open(self.path, "a")  # noqa: SIM115, closed by release
        fcntl.lockf(self.file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Let the others in."""
        self.file.close()


class Worker:
    """This process among those that work on one study: it holds the lock on a file of its own while it lives.

    folder: where the files of all workers are.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.file = open(folder / self.name, "w")  # noqa: SIM115, closed when the work ends
        fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_alive(self, name: str) -> bool:
        """Whether the worker of that name still lives; the empty name is nobody's."""
        if name in ("", self.name):
            return name != ""
        try:
            with open(self.folder / name, "r+") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def leave(self) -> None:
        """End the work."""
        (self.folder / self.name).unlink(missing_ok=True)
        self.file.close()
