"""Where a study is kept: a journal file in the sweep folder, or a database."""

import os
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from mlip_design.sweep.locks import JournalLock

JOURNAL = "study.journal"


def open_storage(folder: Path, url: str | None) -> BaseStorage:
    """The journal file of a folder, or a database by its URL. Raises ValueError for one that cannot be opened."""
    if url is None:
        journal = folder / JOURNAL
        mend(journal)
        return JournalStorage(JournalFileBackend(str(journal), lock_obj=JournalLock(journal)))
    try:
        return optuna.storages.RDBStorage(url)
    except Exception as error:  # of the database's own module
        line = str(error).partition("\n")[0]
        raise ValueError(f"hydra.sweeper.storage: cannot open {url!r} ({type(error).__name__}: {line})") from error


def mend(journal: Path) -> None:
    """Cut off a last line that was not written to its end, which would make the next one unreadable."""
    if not journal.exists():
        return
    with open(journal, "rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)
            os.fsync(file.fileno())
