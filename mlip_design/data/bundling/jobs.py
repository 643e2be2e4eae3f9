"""Many molecules: results computed by a pool of processes and kept in a work folder, so that a stop costs little."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mlip_design.data.bundling.frames import CONSTANTS, Arrays
from mlip_design.processes import one_thread


def run_job(job: tuple[Callable, tuple, Path]) -> Path:
    """Compute one result unless it is there already, and return its file."""
    function, arguments, path = job
    if not path.exists():
        result = function(*arguments)
        partial = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, **result)
        partial.replace(path)
    return path


@contextmanager
def workers(n_jobs: int) -> Iterator[Pool]:
    """A pool of processes of one thread each: results do not depend on how many there are."""
    with one_thread(), get_context("spawn").Pool(n_jobs) as pool:
        yield pool


def run_all(pool: Pool, work: Path, function: Callable, arguments: list[tuple]) -> list[Arrays]:
    """`function(*arguments)` for each entry, in order; what the work folder holds is read, not recomputed."""
    folder = work / function.__name__
    folder.mkdir(parents=True, exist_ok=True)

    def key(args: tuple) -> str:
        plain = [value.tolist() if isinstance(value, np.ndarray) else value for value in args]
        return hashlib.sha256(repr((plain, CONSTANTS)).encode()).hexdigest()[:20]

    jobs = [(function, args, folder / f"{key(args)}.npz") for args in arguments]
    bar = {"total": len(jobs), "desc": f"{function.__name__:>6}", "unit": "molecule", "mininterval": 1}
    done = list(tqdm(pool.imap(run_job, jobs), **bar))
    results = []
    for path in done:
        with np.load(path) as arrays:
            results.append(dict(arrays))
    return results
