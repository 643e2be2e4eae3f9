"""Data sets and where they come from: nothing is lost in packing, splits share nothing."""

import itertools
import tracemalloc
from dataclasses import replace

import ase.io
import numpy as np
import pytest
import tiny_run
import torch
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design.bsct import Scan
from mlip_design.bsct.runner import MOLECULE
from mlip_design.data.bundled import manifest
from mlip_design.data.datamodule import StructureDataModule
from mlip_design.data.dataset import StructureDataset
from mlip_design.data.sources import (
    BUNDLED_FILES,
    bundled,
    from_files,
    from_scans,
    scans_of_split,
    split_at_random,
    split_scans,
)
from mlip_design.structures import Structure, StructureError

KEYS = {"energy_key": "energy", "forces_key": "forces", "stress_key": "stress"}

PLANTED = {
    1: -13.587222780835477,
    6: -1029.4130955,
    8: -2043.9336795,
    16: -10835.9,
}  # eV, of an all-electron method


def synthetic(count: int, n_atoms: int = 3, seed: int = 0):
    """Structures one at a time, so that only the data set holds them."""
    rng = np.random.default_rng(seed)
    numbers = np.array([8, 1, 1, 6, 16])[np.arange(n_atoms) % 5]
    for _ in range(count):
        positions, forces = rng.normal(size=(2, n_atoms, 3))
        yield Structure(numbers, positions, **MOLECULE, energy=rng.normal(), forces=forces)


def same(one: Structure, other: Structure) -> bool:
    names = ("numbers", "positions", "cell", "pbc", "energy", "forces")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


# Packing


def test_a_data_set_gives_back_what_it_was_given():
    structures = [*synthetic(3), *synthetic(2, n_atoms=7, seed=1)]
    rng = np.random.default_rng(2)
    structures.append(
        Structure(
            np.array([118]),
            rng.normal(size=(1, 3)),
            rng.normal(size=(3, 3)),
            np.array([True, False, True]),
            -1.5,
            rng.normal(size=(1, 3)),
            rng.normal(size=(3, 3)),
        )
    )
    dataset = StructureDataset(structures)
    assert len(dataset) == 6
    assert all(same(dataset[i], structure) for i, structure in enumerate(structures))
    np.testing.assert_array_equal(dataset[5].stress, structures[5].stress)
    assert dataset[0].stress is None
    assert dataset.sizes.tolist() == [3, 3, 3, 7, 7, 1]
    assert dataset.elements == [1, 6, 8, 16, 118]
    part = dataset.subset([5, 3])
    assert same(part[0], structures[5])
    assert same(part[1], structures[3])


def test_a_large_data_set_is_in_memory_once():
    """100,000 structures while they are read: no list of them, no second copy."""
    tracemalloc.start()
    dataset = StructureDataset(synthetic(100_000))
    used, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    held = sum(values.nbytes for values in (*vars(dataset.packed).values(), dataset.indices, dataset.sizes))
    assert len(dataset) == 100_000
    assert held < used < 1.3 * held
    assert peak < 1.4 * held
    assert np.shares_memory(dataset[7].positions, dataset.packed.atom_values)


def test_reference_energies_are_recovered():
    rng = np.random.default_rng(0)
    elements = np.array([*PLANTED])
    structures = []
    for size in rng.integers(1, 12, size=200):
        numbers = rng.choice(elements, size)
        energy = sum(PLANTED[n] for n in numbers.tolist())
        positions, forces = rng.normal(size=(2, size, 3))
        structures.append(Structure(numbers, positions, **MOLECULE, energy=energy, forces=forces))
    statistics = StructureDataset(structures).statistics(cutoff=5.0)
    assert statistics.reference_energies.keys() == PLANTED.keys()
    for number, energy in PLANTED.items():
        assert statistics.reference_energies[number] == pytest.approx(energy, abs=1e-9)
    forces = np.concatenate([s.forces for s in structures])
    assert statistics.force_rms == pytest.approx(np.sqrt(np.mean(forces**2)), rel=1e-14)


def test_reference_energies_of_a_single_composition():
    """Not determined element by element; their sum still is the energy."""
    statistics = StructureDataset(synthetic(50)).statistics(cutoff=5.0)
    energies = np.mean([s.energy for s in synthetic(50)])
    references = statistics.reference_energies
    assert references[8] + 2 * references[1] == pytest.approx(energies, abs=1e-12)


# Sources


@pytest.fixture(scope="module")
def bundled_splits():
    return bundled()


def test_bundled_splits(bundled_splits):
    assert list(bundled_splits) == list(BUNDLED_FILES)
    for name, dataset in bundled_splits.items():
        assert len(dataset) == manifest()["frames"][BUNDLED_FILES[name]]
        assert set(dataset.elements) <= set(bundled_splits["train"].elements)
        assert 0.5 < dataset.mean_absolute_force < 5
    rms = bundled_splits["train"].labels.force_rms
    assert rms > bundled_splits["train"].mean_absolute_force


def test_data_module_of_the_bundled_set(bundled_splits):
    module = StructureDataModule(bundled_splits, cutoff=4.0, max_atoms=200, workers=0, seed=0, dtype="float64")
    assert module.names("val") == ["val", "val_new"]
    assert module.names("test") == ["test", "test_new"]
    graph = next(iter(module.train_dataloader()))
    assert graph.n_atoms <= 200
    assert graph.positions.dtype == graph.forces.dtype == torch.float64
    assert module.describe()["train"]["structures"] == len(bundled_splits["train"])


@pytest.fixture
def file_of(tmp_path):
    """A function that writes frames of water with energies `first`, `first` + 1, ...; the file's path."""

    def write(name: str, count: int, first: int = 0) -> str:
        images = []
        for i in range(count):
            atoms = molecule("H2O")
            atoms.rattle(0.1, seed=first + i)
            atoms.calc = SinglePointCalculator(atoms, energy=float(first + i), forces=np.ones((3, 3)))
            images.append(atoms)
        ase.io.write(tmp_path / name, images)
        return str(tmp_path / name)

    return write


def energies(dataset: StructureDataset) -> list[float]:
    return [dataset[i].energy for i in range(len(dataset))]


@pytest.mark.parametrize("name", ["water.xyz", "water.traj", "water.db", "water.xyz.xz"])
def test_every_format(file_of, name):
    splits = from_files(file_of(name, 10), 0.2, None, **KEYS, seed=0)
    assert sorted(energies(splits["train"]) + energies(splits["val"])) == list(range(10))
    assert splits.keys() == {"train", "val"}
    np.testing.assert_array_equal(splits["val"][0].forces, 1.0)


def test_fractions(file_of):
    path = file_of("all.xyz", 40)
    splits = from_files(path, 0.1, 0.2, **KEYS, seed=0)
    assert {name: len(dataset) for name, dataset in splits.items()} == {"train": 28, "val": 4, "test": 8}
    assert sorted(itertools.chain.from_iterable(map(energies, splits.values()))) == list(range(40))
    again, other = (from_files(path, 0.1, 0.2, **KEYS, seed=seed) for seed in (0, 1))
    assert all(energies(splits[name]) == energies(again[name]) for name in splits)
    assert energies(splits["val"]) != energies(other["val"])


def test_files(file_of):
    paths = [file_of("a.xyz", 6), file_of("b.xyz", 3, first=100), file_of("c.xyz", 2, first=200)]
    splits = from_files(*paths, **KEYS, seed=0)
    assert energies(splits["train"]) == list(range(6))
    assert energies(splits["val"]) == [100, 101, 102]
    assert energies(splits["test"]) == [200, 201]
    mixed = from_files(paths[0], paths[1], 0.5, **KEYS, seed=0)
    assert len(mixed["train"]) == len(mixed["test"]) == 3
    assert energies(mixed["val"]) == [100, 101, 102]


@pytest.mark.parametrize("val, test", [(0.0, None), (1.0, None), (-0.1, None), (0.5, 0.5), (0.5, 1.2)])
def test_wrong_fractions(file_of, val, test):
    with pytest.raises(StructureError, match=r"data.* fraction"):
        from_files(file_of("a.xyz", 6), val, test, **KEYS, seed=0)


def test_an_empty_split_is_refused(file_of):
    splits = from_files(file_of("a.xyz", 6), 0.01, None, **KEYS, seed=0)
    with pytest.raises(StructureError, match=r"data\.val: the split is empty"):
        StructureDataModule(splits, cutoff=4.0, max_atoms=10, workers=0, seed=0, dtype="float64")


@given(
    count=st.integers(0, 300),
    val=st.floats(0.01, 0.4),
    test=st.floats(0.01, 0.4),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_random_split_is_a_partition(count, val, test, seed):
    parts = split_at_random(count, {"val": val, "test": test}, seed)
    assert sorted(np.concatenate([*parts.values()]).tolist()) == list(range(count))
    assert len(parts["val"]) == round(val * count)


def named_scan(bond: str, system_id: int) -> Scan:
    """A scan of two atoms, two frames."""
    values = {"lengths": [1.0, 1.1], "positions": np.zeros((2, 2, 3)), "energies": [0.0, 1.0]}
    return Scan(bond, str(system_id), [6, 7], forces=np.zeros((2, 2, 3)), bond_index=[0, 1], **values)


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=9), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_no_system_is_in_two_splits(sizes, seed):
    scans = [
        named_scan(f"C-{'CNOPS'[i % 5]}{i}", number) for i, size in enumerate(sizes) for number in range(size)
    ]
    parts = split_scans(scans, 0.2, 0.2, seed)
    names = [scan.name for part in parts.values() for scan in part]
    assert sorted(names) == sorted(scan.name for scan in scans)
    for bond in {scan.bond for scan in scans}:
        size = sum(scan.bond == bond for scan in scans)
        assert sum(scan.bond == bond for scan in parts["test"]) == round(0.2 * size)


def test_scans_as_training_data(tmp_path):
    scans = tiny_run.few_scans(count=9, step=20)
    more = [replace(scan, system_id=scan.system_id + letter) for scan in scans for letter in "abcd"]
    root = tiny_run.write_scans(more, tmp_path / "scans")
    arguments = {"root": str(root), "val": 0.25, "test": 0.25, "seed": 3}
    splits = from_scans(**arguments, stride=2)
    held_out = {name: scans_of_split(split=name, **arguments) for name in splits}
    names = [scan.name for part in held_out.values() for scan in part]
    assert len(names) == len(set(names)) == 36
    for name, dataset in splits.items():
        frames = sum(len(scan.lengths[::2]) for scan in held_out[name])
        assert len(dataset) == frames
        assert {scan.bond for scan in held_out[name]} == {scan.bond for scan in scans}
    first = held_out["val"][0]
    assert splits["val"][0].energy == first.energies[0]
    np.testing.assert_array_equal(splits["val"][0].forces, first.forces[0])
