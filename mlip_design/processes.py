"""Work spread over processes of one thread each, which end when the process that started them does."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import wait
from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Processes:
    """Processes that share work: a context, whose end by an exception, Ctrl-C too, kills them.

    count: how many at most; each starts when there is work for it.
    """

    def __init__(self, count: int):
        start_server()
        context = multiprocessing.get_context("forkserver")
        self.pool = ProcessPoolExecutor(count, mp_context=context, initializer=follow_parent)

    def spread(self, function: Callable, jobs: Iterable[tuple]) -> Iterator[tuple[tuple, Any]]:
        """Pairs of a job and `function(*job)`, as they get done; the function must be importable by name.

        Raises what the function raises, and ChildProcessError where a process is killed.
        """
        try:
            with one_thread():
                waiting = {self.pool.submit(function, *job): job for job in jobs}
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BrokenProcessPool as error:
            raise ChildProcessError("a process that computes was killed (out of memory?)") from error

    def __enter__(self) -> "Processes":
        self.others = set(multiprocessing.active_children())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.pool.shutdown(wait=kind is None, cancel_futures=kind is not None)
        if kind is not None:
            for process in set(multiprocessing.active_children()) - self.others:
                process.kill()


def start_server() -> None:
    """Start what the processes will be forked from, if it does not run yet; it gets ready beside this process."""
    forkserver.set_forkserver_preload(["mlip_design.evaluator"])  # torch is imported once, not by each
    with one_thread():
        forkserver.ensure_running()


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes that start meanwhile compute with one thread each."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def follow_parent() -> None:
    """Let the parent alone answer Ctrl-C, and end this process when the parent ends, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def leave() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()
