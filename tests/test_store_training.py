"""Training from a store: read by many without being loaded, split by groups, the same batches and statistics."""

import pickle
import tracemalloc
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
from ase.build import bulk
from data_files import waters
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import same, stored, written

from mlip_design.checkpoint import load_potential
from mlip_design.data.datamodule import StructureDataModule
from mlip_design.data.dataset import StructureDataset
from mlip_design.data.formats.contract import Labels
from mlip_design.data.reading import entries
from mlip_design.data.sources import from_store, split_by_group
from mlip_design.data.store import is_store, open_store
from mlip_design.data.store_writer import new_store
from mlip_design.graph import batch_structures
from mlip_design.structures import Structure, StructureError, from_atoms

FORK = get_context("fork")


@pytest.fixture
def store(tmp_path) -> Path:
    """A store of six water molecules."""
    stored(written(tmp_path / "x.xyz"), to=tmp_path / "store")
    return tmp_path / "store"


def test_a_store_is_not_loaded(tmp_path):
    structures = waters(1)[0]
    structure = next(iter(entries(written(tmp_path / "x.xyz", 1), Labels()))).structure
    with new_store(tmp_path / "store") as writer:
        for index in range(20_000):
            writer.add(structure, f"frame {index}", None)
        writer.finish([], {})
    size = sum(path.stat().st_size for path in (tmp_path / "store").iterdir())
    tracemalloc.start()
    dataset = StructureDataset(open_store(tmp_path / "store"))
    assert all(
        len(dataset[i].numbers) == len(structures) for i in np.random.default_rng(0).permutation(20_000)[:500]
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.2 * size
    assert len(pickle.dumps(dataset.packed)) < 1000
    assert same(pickle.loads(pickle.dumps(dataset))[7], structure)


def test_workers_give_the_same_batches(store):
    def batches(workers: int) -> list:
        splits = {"train": StructureDataset(open_store(store)), "val": StructureDataset(open_store(store))}
        module = StructureDataModule(splits, cutoff=4.0, max_atoms=6, workers=workers, seed=0, dtype="float64")
        return list(module.train_dataloader())

    alone, together = batches(0), batches(2)
    assert len(alone) == len(together) >= 3
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.positions, other.positions) and torch.equal(one.source, other.source)
        assert torch.equal(one.energy, other.energy)


def test_statistics_are_those_of_the_structures_in_memory(store, tmp_path):
    whole = StructureDataset(open_store(store))
    part = whole.subset(np.array([4, 1, 2]))
    held = StructureDataset(part[i] for i in range(3))
    one, other = part.statistics(cutoff=4.0), held.statistics(cutoff=4.0)
    assert one.reference_energies == pytest.approx(other.reference_energies, rel=1e-12)
    assert one.force_rms == pytest.approx(other.force_rms, rel=1e-14)
    assert one.mean_neighbors == other.mean_neighbors == 2.0
    assert part.subset(np.array([0]))[0].energy == whole[4].energy


def test_neighbours_are_counted():
    """Every atom of fcc copper has 12 nearest and 6 next neighbours."""
    structure = from_atoms(bulk("Cu", "fcc", a=3.6, cubic=True))
    labels = {"energy": -1.0, "forces": np.zeros((4, 3))}
    dataset = StructureDataset([Structure(**{**vars(structure), **labels})] * 3)
    assert dataset.statistics(cutoff=3.0).mean_neighbors == 12
    assert dataset.statistics(cutoff=3.7).mean_neighbors == 18


@given(
    groups=st.lists(st.integers(0, 40), min_size=1, max_size=300),
    val=st.floats(0.05, 0.4),
    test=st.floats(0.05, 0.4),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_groups_are_never_torn(groups, val, test, seed):
    numbers = np.unique(groups, return_inverse=True)[1]
    parts = split_by_group(numbers, {"val": val, "test": test}, seed)
    assert sorted(np.concatenate([*parts.values()]).tolist()) == list(range(len(groups)))
    owners = [set(numbers[indices].tolist()) for indices in parts.values()]
    assert sum(map(len, owners)) == len(set.union(*owners))
    largest = np.bincount(numbers).max()
    for name, fraction in (("val", val), ("test", test)):
        assert abs(len(parts[name]) - fraction * len(groups)) <= largest / 2 + 1e-9
    again = split_by_group(numbers, {"val": val, "test": test}, seed)
    assert all(np.array_equal(parts[name], again[name]) for name in parts)


def test_structures_alone_are_split_at_random():
    parts = split_by_group(np.arange(1000), {"val": 0.1, "test": 0.05}, 0)
    assert {name: len(indices) for name, indices in parts.items()} == {"train": 850, "val": 100, "test": 50}
    assert not np.array_equal(parts["val"], split_by_group(np.arange(1000), {"val": 0.1, "test": 0.05}, 1)["val"])


def test_splits_of_a_store(store, tmp_path):
    splits = from_store(str(store), val=1 / 3, test=str(store), seed=0, limit=3)
    assert {name: len(dataset) for name, dataset in splits.items()} == {"train": 3, "val": 2, "test": 6}
    energies = {name: {dataset[i].energy for i in range(len(dataset))} for name, dataset in splits.items()}
    assert not energies["train"] & energies["val"]
    with pytest.raises(StructureError, match=r"data\.limit: 0 is not at least 1"):
        from_store(str(store), val=1 / 3, test=None, seed=0, limit=0)
    with pytest.raises(FileNotFoundError, match="is no store of structures"):
        from_store(str(tmp_path), val=0.1, test=None, seed=0, limit=None)


def test_training_from_a_store(tmp_path):
    source = Path(tiny_run.option("data.train"))
    stored(source, to=tmp_path / "store", group="smiles")
    others = [override for override in tiny_run.inputs() if not override.startswith("data")]
    overrides = [*others, "data=store", f"data.path={tmp_path / 'store'}", "data.val=0.25", "trainer.max_epochs=1"]
    results = tiny_run.run(overrides, tmp_path / "run").as_dict()
    assert results["status"] == "finished"
    assert results["data"]["train"]["structures"] + results["data"]["val"]["structures"] == 48
    potential = load_potential(tmp_path / "run")
    assert is_store(tmp_path / "store") and potential.elements
    assert 2 < float(potential.mean_neighbors) < 12
    assert potential.float().mean_neighbors.dtype == torch.float64


def test_a_graph_goes_to_another_process_as_it_is(store):
    dataset = StructureDataset(open_store(store))
    graph = batch_structures([dataset[0], dataset[1]], 4.0, torch.float64)
    sent = pickle.loads(pickle.dumps(graph))
    for name, values in vars(graph).items():
        assert (values is None and getattr(sent, name) is None) or torch.equal(values, getattr(sent, name))
    sent.positions.add_(1.0)
    assert not torch.equal(graph.positions, sent.positions)
