"""How fast a store is made, opened and read: `python benchmarks/data_store.py [--structures 200000] [--folder DIR]`.

A synthetic set in the layout of SPICE (50 conformations of each molecule, 10 to 40 atoms of H C N O) is prepared,
opened and read in random order, with its pages dropped from memory before; beside that, what a training of the default
model consumes on one thread. Each measurement has a process of its own.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch.utils.data import DataLoader

from mlip_design.config import model_arguments, register_resolvers
from mlip_design.data.datamodule import StructureDataModule
from mlip_design.data.dataset import StructureDataset
from mlip_design.data.formats.contract import Labels
from mlip_design.data.prepare import prepare
from mlip_design.data.store import open_store

CONFORMATIONS = 50
MAX_ATOMS = 512
N_BATCHES = 300
MEMORY = ("VmRSS", "RssAnon", "RssFile")


def make_source(path: Path, count: int) -> None:
    """Molecules on a jittered lattice of 1.4 Å, so that no atoms coincide."""
    random = np.random.default_rng(0)
    sites = 2.65 * np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)  # bohr
    with h5py.File(path, "w") as file:
        for index in range(count // CONFORMATIONS):
            n_atoms = random.integers(10, 41)
            shape = (CONFORMATIONS, n_atoms, 3)
            numbers = random.choice([1, 1, 6, 7, 8], n_atoms)
            energies = -0.5 * n_atoms + 0.1 * random.normal(size=CONFORMATIONS)
            group = file.create_group(str(index))
            group["smiles"] = [f"molecule {index}".encode()]
            group["atomic_numbers"] = numbers.astype(np.int16)
            group["conformations"] = (sites[:n_atoms] + 0.3 * random.normal(size=shape)).astype(np.float32)
            group["dft_total_energy"] = energies
            group["dft_total_gradient"] = (0.02 * random.normal(size=shape)).astype(np.float32)


def forget(folder: Path) -> None:
    """Drop the pages of a store from the memory of the system."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def memory(process: int | str = "self") -> str:
    """Resident memory, MB: all, of its own, of mapped files."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    values = {line.split(":")[0]: int(line.split()[1]) / 1000 for line in lines if line.startswith(MEMORY)}
    return ", ".join(f"{name} {values[name]:.0f} MB" for name in MEMORY)


def opened(folder: Path) -> None:
    """Time to the first structure."""
    forget(folder)
    before = memory()
    start = time.perf_counter()
    dataset = StructureDataset(open_store(folder))
    opening = time.perf_counter() - start
    structure = dataset[len(dataset) // 2]
    first = time.perf_counter() - start
    print(
        f"open: {opening * 1000:.0f} ms; first structure ({len(structure.numbers)} atoms): {first * 1000:.0f} ms"
    )
    print(f"      {before} before, {memory()} after")


def read_at_random(folder: Path) -> None:
    """Every structure once, copied, without graphs."""
    forget(folder)
    dataset = StructureDataset(open_store(folder))
    start = time.perf_counter()
    for index in np.random.default_rng(0).permutation(len(dataset)).tolist():
        structure = dataset[index]
        structure.positions.sum()
    seconds = time.perf_counter() - start
    print(f"read, random order, all: {len(dataset) / seconds:,.0f} structures/s; {memory()}")


def loader(folder: Path, workers: int) -> DataLoader:
    """Shuffled training batches of a store, with the cutoff of the default model."""
    dataset = StructureDataset(open_store(folder))
    splits = {"train": dataset, "val": dataset}
    return StructureDataModule(
        splits, cutoff=6.0, max_atoms=MAX_ATOMS, workers=workers, seed=0, dtype="float32"
    ).train_dataloader()


def batches_at_random(folder: Path, workers: int) -> None:
    """Shuffled batches of graphs, as training gets them."""
    torch.set_num_threads(1)
    forget(folder)
    iterator = iter(loader(folder, workers))
    next(iterator)
    start = time.perf_counter()
    structures = sum(graph.n_graphs for graph in islice(iterator, N_BATCHES))
    seconds = time.perf_counter() - start
    print(f"graphs, random order, {workers} workers: {structures / seconds:,.0f} structures/s; {memory()}")
    for worker in getattr(iterator, "_workers", []):
        print(f"      worker: {memory(worker.pid)}")
    del iterator  # ends the workers


def trained(folder: Path) -> None:
    """Training steps of the default model, graphs at hand."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    register_resolvers()
    with initialize_config_dir(str(Path(__file__).resolve().parents[1] / "conf"), version_base="1.3"):
        config = compose("train")
    potential, loss = instantiate(model_arguments(config)), instantiate(config.loss)
    potential.calibrate(StructureDataset(open_store(folder)).statistics(potential.cutoff))
    optimizer = torch.optim.AdamW(potential.parameters())
    iterator = iter(loader(folder, 0))
    graphs = [next(iterator) for _ in range(12)]
    for graph in graphs:
        if graph is graphs[2]:
            start = time.perf_counter()
        optimizer.zero_grad()
        loss(potential(graph, create_graph=True), graph, potential.scale).backward()
        optimizer.step()
    seconds = time.perf_counter() - start
    structures = sum(graph.n_graphs for graph in graphs[2:])
    print(f"training, default model, 1 thread: {structures / seconds:,.0f} structures/s")


def apart(function: Callable, *arguments: object) -> None:
    """Call a function in a fresh process."""
    process = get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()


def main() -> None:
    """All measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structures", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, help="new folder for the files (default: a temporary one)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        source, store = folder / "synthetic.hdf5", folder / "store"
        make_source(source, args.structures)
        start = time.perf_counter()
        contents = prepare([source], store, Labels(), progress=True).contents
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in store.iterdir()) / 1e6
        counts = f"{contents.structures:,} structures, {contents.atoms:,} atoms"
        print(f"prepare: {counts}, {size:.0f} MB in {seconds:.0f} s; {memory()}", flush=True)
        apart(opened, store)
        apart(read_at_random, store)
        for workers in (0, 1, 2):
            apart(batches_at_random, store, workers)
        apart(trained, store)


if __name__ == "__main__":
    main()
