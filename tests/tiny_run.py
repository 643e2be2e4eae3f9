"""Tiny runs for the tests of training: a few molecules, a few coarse scans, one small layer; and processes for them.

`inputs()` writes the data, once a session. `run(...)` trains in this process; `start(...)` and `command(...)` do it in
a process forked from a server that has imported everything once.
"""

import atexit
import os
import shutil
import signal
import socket
import sys
import tempfile
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback

import train
from callbacks import job
from mlip_design.bsct import Scan, load_scans
from mlip_design.config import register_resolvers
from mlip_design.data.bundled import bundled_path

TINY = [
    "data=extxyz",
    "model.backbone.n_features=16",
    "model.backbone.n_layers=1",
    "model.neighbors.n_neighbors=8",
    "model.basis.n_basis=8",
    "batching.max_atoms=32",
    "batching.workers=0",
    "trainer.max_epochs=2",
    "+trainer.limit_train_batches=3",
    "trainer.accelerator=cpu",
    "callbacks.ema.decay=0.7",
    "callbacks.bsct.n_worst=1",
]
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["train", "callbacks.job", "callbacks.bsct", "callbacks.progress"])  # saves 8 s


def few_scans(name: str = "scans_val", count: int = 5, step: int = 5) -> list[Scan]:
    """Scans of the bundled set, of `count` bond types, with every `step`-th frame."""
    return [every(scan, step) for scan in load_scans(bundled_path(f"{name}.tar.xz"), limit=count)]


def every(scan: Scan, step: int) -> Scan:
    """Every `step`-th frame of a scan."""
    frames = {name: getattr(scan, name)[::step] for name in ("lengths", "positions", "energies", "forces")}
    return Scan(scan.bond, scan.system_id, scan.numbers, bond_index=scan.bond_index, **frames)


def write_scans(scans: list[Scan], root: Path) -> Path:
    """Write scans in the published layout."""
    for scan in scans:
        folder = root / scan.bond / scan.system_id
        folder.mkdir(parents=True)
        for i, (positions, energy, forces) in enumerate(
            zip(scan.positions, scan.energies, scan.forces, strict=True)
        ):
            write_frame(folder / f"atoms_{i}.xyz", scan.numbers, positions, energy, forces)
        perturb_range = np.array([scan.lengths[0], scan.lengths[-1], len(scan.lengths)])
        np.savez(folder / "partition.npz", bond=scan.bond, bond_index=scan.bond_index, perturb_range=perturb_range)
    return root


def write_frame(path: Path, numbers, positions, energy: float, forces, append: bool = False) -> None:
    """Write one labelled frame as extended XYZ."""
    atoms = Atoms(numbers, positions)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    ase.io.write(path, atoms, format="extxyz", append=append)


@cache
def inputs() -> list[str]:
    """Write training, validation and test files and scans; the overrides of a tiny run that uses them."""
    folder = Path(tempfile.mkdtemp(prefix="tiny_run"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    frames = ase.io.read(bundled_path("val_known.xyz.xz"), "::3")
    parts = {"train": frames[:48], "val": frames[48:83], "test": frames[83:107]}
    for name, chosen in parts.items():
        ase.io.write(folder / f"{name}.xyz", chosen, format="extxyz")
    scans = {"val": write_scans(few_scans(), folder / "scans_val")}
    scans["test"] = write_scans(few_scans("scans_test", count=2), folder / "scans_test")
    files = [f"data.{name}={folder / name}.xyz" for name in parts]
    return [*TINY, *files, *(f"scans.{stage}.root={root}" for stage, root in scans.items())]


def option(key: str) -> str:
    """The value that `inputs` gives a key."""
    return next(override for override in inputs() if override.startswith(f"{key}=")).partition("=")[2]


def compose(overrides: list[str], folder: Path) -> DictConfig:
    """The configuration of a run in `folder`."""
    register_resolvers()
    OmegaConf.register_new_resolver("run_dir", lambda: str(folder), replace=True)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(train.CONFIG_DIR), version_base="1.3"):
        config = hydra_compose("train", overrides)
    OmegaConf.update(config, "overrides", overrides, force_add=True)
    folder.mkdir(parents=True, exist_ok=True)
    return config


def run(overrides: list[str], folder: Path):
    """Train in this process; the `Results`."""
    return job.train(compose(overrides, folder), folder, None)


class Disturb(Callback):
    """Raise a signal in this process, or an exception, at a moment of training; only where DISTURB is set.

    hook: name of a Lightning hook. call: at which call of it, counted from 1. what: name of a signal or an exception.
    """

    def __init__(self, hook: str, call: int, what: str):
        self.calls, self.call, self.what = 0, call, what
        setattr(self, hook, self.count)

    def count(self, *_) -> None:
        """Count calls, and act at the right one."""
        self.calls += 1
        if self.calls == self.call and "DISTURB" in os.environ:
            if self.what.startswith("SIG"):
                os.kill(os.getpid(), getattr(signal, self.what))
            else:
                raise {"MemoryError": MemoryError}[self.what]("planted")

    @property
    def state_key(self) -> str:
        """The same in every process."""
        return "Disturb"


def disturb(hook: str, call: int, what: str) -> list[str]:
    """Overrides that put `Disturb` into a run."""
    return [f"+callbacks.zz_disturb={{_target_: tiny_run.Disturb, hook: {hook}, call: {call}, what: {what}}}"]


def start(overrides: list[str], folder: Path, resume: bool = False, environment: dict | None = None):
    """A process that trains in `folder`, or continues there; `join` it, then look at its `exitcode`."""
    environment = {**(environment or {}), **({} if resume else {"DISTURB": "1"})}
    process = CONTEXT.Process(target=work, args=(overrides, folder, resume, environment))
    process.start()
    return process


def work(overrides: list[str], folder: Path, resume: bool, environment: dict[str, str]) -> None:
    """What a process of `start` does."""
    import torch

    os.environ.update(environment)
    torch.set_num_threads(1)
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    last = folder / "checkpoints" / "last.ckpt"
    job.train(compose(overrides, folder), folder, last if resume and last.exists() else None)


def command(*arguments: str, environment: dict[str, str] | None = None):
    """A process that does what `python train.py` with these arguments does; a tenth of its start."""
    process = CONTEXT.Process(target=call_main, args=(arguments, environment or {}))
    process.start()
    return process


def call_main(arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    """What a process of `command` does."""
    os.environ.update(environment)
    sys.argv = [train.__file__, *arguments]
    train.main()


def finish(process) -> int:
    """Wait for a process of `start`; its exit status, negative for a signal."""
    process.join(timeout=300)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError("the process hangs")
    return process.exitcode


def free_port() -> str:
    """A port for the processes of one distributed run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def start_ranks(overrides: list[str], folder: Path, count: int = 2) -> list:
    """`count` processes of one distributed CPU run (gloo)."""
    port = free_port()
    distributed = [f"trainer.devices={count}", "+trainer.strategy=ddp"]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count), "NODE_RANK": "0"}
    return [
        start([*overrides, *distributed], folder, environment={**shared, "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]
