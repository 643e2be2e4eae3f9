"""What the benchmarks share: potentials as configured, structures, medians, and on what they ran."""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from scipy.spatial.transform import Rotation

from mlip_design.config import model_arguments, register_resolvers
from mlip_design.data.bundled import bundled_path
from mlip_design.potential import Potential, Statistics
from mlip_design.structures import Structure, from_atoms, read_structures

ROOT = Path(__file__).resolve().parents[1]
ELEMENTS = (1, 6, 7, 8, 9, 15, 16, 17)
STATISTICS = Statistics(dict.fromkeys(ELEMENTS, -100.0), force_rms=1.5, mean_neighbors=10.0)
MILLION = 1_000_000
WATER_SPACING = 3.104
"""Å, edge of the cube that a molecule of liquid water fills."""


def configured(overrides: Sequence[str]) -> DictConfig:
    """The configuration of `python train.py` with these overrides."""
    register_resolvers()
    OmegaConf.register_new_resolver("run_dir", lambda: ".", replace=True)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", list(overrides))


def build(overrides: Sequence[str], device: str, dtype: torch.dtype = torch.float32) -> Potential:
    """A potential with random weights of a fixed seed."""
    torch.manual_seed(0)
    potential = instantiate(model_arguments(configured(overrides))).to(dtype)
    potential.calibrate(STATISTICS)
    return potential.to(device)


def parameters(potential: torch.nn.Module) -> int:
    """How many."""
    return sum(parameter.numel() for parameter in potential.parameters())


def of_a_million(model: str) -> list[str]:
    """Overrides that widen a model to the first multiple of 16 channels with a million parameters."""
    for width in range(64, 1024, 16):
        overrides = [f"model={model}", f"model.backbone.n_features={width}"]
        if parameters(build(overrides, "cpu")) >= MILLION:
            return overrides
    raise ValueError(f"{model}: has no million parameters with 1024 channels")


def molecules(count: int) -> list[Structure]:
    """Frames of the bundled training molecules, spread evenly."""
    frames = list(read_structures(bundled_path("val_known.xyz.xz")))
    return [frames[index % len(frames)] for index in range(count)]


def water(n_atoms: int) -> Structure:
    """A periodic box of about so many atoms of water: molecules turned at random on a cubic lattice."""
    edge = round((n_atoms / 3) ** (1 / 3))
    one = molecule("H2O")
    one.positions -= one.positions.mean(axis=0)
    sites = WATER_SPACING * np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), -1).reshape(-1, 3)
    turns = Rotation.random(len(sites), rng=0).as_matrix()
    positions = np.concatenate([one.positions @ turn + site for turn, site in zip(turns, sites, strict=True)])
    box = Atoms(np.tile(one.numbers, len(sites)), positions, cell=[edge * WATER_SPACING] * 3, pbc=True)
    return from_atoms(box)


def seconds(function: Callable[[], Any], repeats: int, device: str = "cpu", warm_up: int = 2) -> float:
    """Median wall time of a call."""
    times = []
    for turn in range(warm_up + repeats):
        wait(device)
        start = time.perf_counter()
        function()
        wait(device)
        if turn >= warm_up:
            times.append(time.perf_counter() - start)
    return median(times)


def wait(device: str) -> None:
    """For what a GPU still has to do."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def peer(python: Path, script: str, arguments: dict[str, Any], threads: int) -> Any:
    """What a script of `peers/` prints as its last line, run by the Python of another environment."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    command = [str(python), str(ROOT / "benchmarks" / "peers" / script), json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{script}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


PEERS = {
    "mace": ("mace_times.py", {"MACE 32x0e": "32x0e", "MACE 64x0e": "64x0e"}),
    "nequip": ("nequip_times.py", {"NequIP l <= 1": 1, "NequIP l <= 2": 2}),
}
"""Option -> script, and its models as tables show them: two layers of MACE, four of 32 channels of NequIP."""


def add_peers(parser: argparse.ArgumentParser) -> None:
    """Options for the Pythons of their environments."""
    for name in PEERS:
        parser.add_argument(f"--{name}", type=Path, metavar="PYTHON")


def peers(args: argparse.Namespace) -> Iterator[tuple[str, Callable[..., list[dict[str, Any]]]]]:
    """Title, and a function that asks it to time something: (what=..., repeats=..., atoms or files) -> rows."""
    for name, (script, models) in PEERS.items():
        if python := getattr(args, name):
            for title, model in models.items():
                asked = {"model": model, "device": args.device}
                yield (
                    title,
                    lambda asked=asked, python=python, script=script, **more: peer(
                        python, script, asked | more, args.threads
                    ),
                )


def machine(device: str, threads: int) -> dict[str, Any]:
    """On what a benchmark ran."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    gpu = torch.cuda.get_device_name() if device.startswith("cuda") else None
    return {
        "processor": name or platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def report(facts: dict[str, Any], path: Path | None) -> None:
    """Where it ran, and all numbers as JSON if a path is given."""
    print(", ".join(f"{key} {value}" for key, value in facts["machine"].items() if value))
    if path is not None:
        path.write_text(json.dumps(facts, indent=1) + "\n")
