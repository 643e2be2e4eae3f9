"""Stores: whole or not there, the same structures as in the sources, read by many without being loaded."""

import json
import os
import pickle
import signal
import tempfile
import tracemalloc
from multiprocessing import get_context
from pathlib import Path

import ase.io
import numpy as np
import pytest
import tiny_run
import torch
from ase.build import bulk
from data_files import aselmdb_row, mptrj_frame, spice_group, waters, write_aselmdb, write_mptrj, write_spice
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design import cli
from mlip_design.checkpoint import load_potential
from mlip_design.data import store_writer
from mlip_design.data.datamodule import StructureDataModule
from mlip_design.data.dataset import StructureDataset
from mlip_design.data.formats.contract import Entry, Labels
from mlip_design.data.prepare import Prepared, prepare
from mlip_design.data.reading import entries
from mlip_design.data.sources import from_store, split_by_group
from mlip_design.data.store import is_store, names_of, open_store
from mlip_design.data.store_writer import StoreWriter, new_store
from mlip_design.graph import batch_structures
from mlip_design.structures import Structure, StructureError, from_atoms

FORK = get_context("fork")


def stored(*sources: Path, to: Path, **labels: str) -> Prepared:
    """Prepare a store without a progress bar."""
    return prepare(sources, to, Labels(**labels), progress=False)


def written(path: Path, count: int = 6, **info) -> Path:
    """An XYZ file of water molecules."""
    images = waters(count)
    for atoms in images:
        atoms.info.update(info)
    ase.io.write(path, images, format="extxyz")
    return path


def same(one: Structure, other: Structure) -> bool:
    """Whether two structures agree to the last bit."""
    stresses = (one.stress is None) == (other.stress is None)
    names = (
        "numbers",
        "positions",
        "cell",
        "pbc",
        "energy",
        "forces",
        *(["stress"] if one.stress is not None else []),
    )
    return stresses and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


# What is in a store


def folder_of_formats(folder: Path) -> Path:
    """A folder with a file of each format."""
    folder.mkdir()
    written(folder / "x.xyz")
    ase.io.write(folder / "x.db", waters(3, seed=1))
    write_spice(folder / "x.hdf5", {"a": spice_group(3), "b": spice_group(2, seed=1, smiles="O")})
    write_mptrj(folder / "x.json", {"mp-1": {"a": mptrj_frame(), "b": mptrj_frame(1)}})
    write_aselmdb(folder / "x.aselmdb", [aselmdb_row(atoms, False) for atoms in waters(3, seed=2)])
    return folder


def test_a_store_holds_its_sources(tmp_path):
    folder = folder_of_formats(tmp_path / "sources")
    contents = stored(folder, to=tmp_path / "store").contents
    expected: list[Entry] = [e for path in map(Path, contents.sources) for e in entries(path, Labels())]
    packed = open_store(tmp_path / "store")
    assert len(contents.sources) == 5
    assert contents.structures == len(packed.sizes) == len(expected) == 6 + 3 + 5 + 2 + 3
    assert contents.atoms == packed.sizes.sum()
    assert contents.elements == [1, 8, 11, 17]
    assert all(same(packed.structure(i), entry.structure) for i, entry in enumerate(expected))
    assert names_of(tmp_path / "store", [0, 12]) == {0: expected[0].name, 12: expected[12].name}
    numbers: dict[str, set[int]] = {}
    for entry, number in zip(expected, packed.groups, strict=True):
        numbers.setdefault(entry.group or entry.name, set()).add(int(number))
    assert all(len(found) == 1 for found in numbers.values())
    assert len(set.union(*numbers.values())) == contents.groups == 6 + 3 + 2 + 1 + 3


def test_stores_are_sources_and_keep_groups(tmp_path):
    one = write_spice(tmp_path / "a.hdf5", {"a": spice_group(3), "b": spice_group(2, smiles="O")})
    two = write_spice(tmp_path / "b.hdf5", {"c": spice_group(4, seed=1)})
    stored(one, to=tmp_path / "one")
    stored(two, to=tmp_path / "two")
    contents = stored(tmp_path / "one", tmp_path / "two", to=tmp_path / "both").contents
    assert (contents.structures, contents.groups) == (9, 2)
    assert open_store(tmp_path / "both").groups.tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert names_of(tmp_path / "both", [8])[8] == f"{two}, c, conformation 3"


@given(seed=st.integers(0, 2**32 - 1), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_any_structure_survives(seed, sizes):
    random = np.random.default_rng(seed)
    structures = [
        Structure(
            numbers=random.integers(1, 119, n),
            positions=random.normal(size=(n, 3)),
            cell=random.normal(size=(3, 3)),
            pbc=random.random(3) < 0.5,
            energy=float(random.normal() * 1e5),
            forces=random.normal(size=(n, 3)),
            stress=random.normal(size=(3, 3)) if random.random() < 0.5 else None,
        )
        for n in sizes
    ]
    with tempfile.TemporaryDirectory() as folder:
        with new_store(Path(folder) / "store") as writer:
            for index, structure in enumerate(structures):
                writer.add(structure, f"frame {index}", None)
            writer.finish([], {}, {})
        packed = open_store(Path(folder) / "store")
        assert all(same(packed.structure(i), structure) for i, structure in enumerate(structures))
        assert not same(packed.structure(0), Structure(**{**vars(structures[0]), "energy": 0.5}))


# Whole or not there


def prepare_until(moment: str, source: Path, to: Path) -> None:
    """Prepare a store and be killed: at the fourth structure, before the index is written, before the last step."""

    def die(*_, **__) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if moment == "adding":
        add = StoreWriter.add
        StoreWriter.add = lambda writer, *what: (die if writer.arrays["sizes"].length == 3 else add)(writer, *what)
    elif moment == "finishing":
        store_writer.Contents = die
    else:
        Path.rename = die
    stored(source, to=to)


@pytest.mark.parametrize("moment", ["adding", "finishing", "naming"])
def test_a_killed_preparation_leaves_no_store(tmp_path, moment):
    source = written(tmp_path / "x.xyz")
    process = FORK.Process(target=prepare_until, args=(moment, source, tmp_path / "store"))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "store").exists()
    with pytest.raises(FileNotFoundError, match=r"is no store of structures \(no store\.json\)"):
        open_store(tmp_path / "store")
    assert stored(source, to=tmp_path / "store").contents.structures == 6
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def hold(folder: Path, begun, go_on) -> None:
    """Be at work on a store until told to stop."""
    with new_store(folder):
        begun.set()
        go_on.wait(60)
        raise KeyboardInterrupt


def test_one_process_makes_a_store(tmp_path):
    begun, go_on = FORK.Event(), FORK.Event()
    process = FORK.Process(target=hold, args=(tmp_path / "store", begun, go_on))
    process.start()
    assert begun.wait(60)
    with pytest.raises(StructureError, match="another process is making it"):
        stored(written(tmp_path / "x.xyz"), to=tmp_path / "store")
    go_on.set()
    process.join(60)
    assert stored(tmp_path / "x.xyz", to=tmp_path / "store").contents.structures == 6


def test_a_file_that_ends_early_leaves_nothing(tmp_path):
    source = written(tmp_path / "x.xyz")
    source.write_text(source.read_text().rpartition("\nH")[0])
    with pytest.raises(StructureError, match="frame 5: the file ends within its 3 atoms"):
        stored(source, to=tmp_path / "store")
    assert [path.name for path in tmp_path.iterdir()] == ["x.xyz"]


@pytest.fixture
def store(tmp_path) -> Path:
    """A store of six water molecules."""
    stored(written(tmp_path / "x.xyz"), to=tmp_path / "store")
    return tmp_path / "store"


def test_a_store_is_not_written_over(store, tmp_path):
    before = {path: path.read_bytes() for path in store.iterdir()}
    with pytest.raises(StructureError, match="store: exists, and is not written over; name a new store"):
        stored(tmp_path / "x.xyz", to=store)
    assert {path: path.read_bytes() for path in store.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("atom_values.npy", lambda data: data[:-8], "atom_values.npy: is missing or damaged"),
        ("sizes.npy", lambda data: b"", "sizes.npy: is missing or damaged"),
        (
            "sizes.npy",
            lambda data: data.replace(b"<i8", b"<f8"),
            "sizes.npy: is <f8 of shape (6,), not <i8 of (6,)",
        ),
        ("groups.npy", lambda data: data.replace(b"(6,)", b"(5,)"), "groups.npy: is <i8 of shape (5,), not <i8"),
        ("store.json", lambda data: data[:-20], "store.json: is not the index of a store"),
        ("store.json", lambda data: b"[]", "store.json: is not the index of a store"),
        (
            "store.json",
            lambda data: data.replace(b'"atoms"', b'"atom"'),
            "store.json: is not the index of a store",
        ),
        (
            "store.json",
            lambda data: data.replace(b'schema": 1', b'schema": 9'),
            "is of layout 9, this version reads 1",
        ),
    ],
)
def test_damaged_stores_are_refused(store, name, change, words):
    (store / name).write_bytes(change((store / name).read_bytes()))
    with pytest.raises(StructureError) as caught:
        open_store(store)
    assert words in str(caught.value) and "\n" not in str(caught.value)


# The command


def command(capsys, *words: object) -> tuple[int, str, str]:
    """Exit status and what was printed."""
    status = cli.main(["data", "prepare", *map(str, words)])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def with_faults(path: Path) -> Path:
    """Six frames; one with coinciding atoms, one without a finite energy."""
    images = waters(6)
    images[1].positions[1] = images[1].positions[0]
    images[4].calc.results["energy"] = np.nan
    ase.io.write(path, images, format="extxyz")
    return path


@pytest.mark.parametrize("strict", [False, True])
def test_what_is_left_out_is_named(tmp_path, capsys, strict):
    source = with_faults(tmp_path / "x.xyz")
    words = [source, tmp_path / "store", "--json", tmp_path / "result.json", *(["--strict"] if strict else [])]
    status, out, _ = command(capsys, *words)
    assert status == int(strict)
    assert "4 structures, 12 atoms, 4 groups, 2 elements" in out
    assert "     1  atoms … and … coincide (… Å apart, at least …)" in out
    assert f"named in {tmp_path / 'store' / 'left_out.txt'}" in out
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["structures"] == 4 and sum(result["left_out"].values()) == 2
    assert (tmp_path / "store" / "left_out.txt").read_text(encoding="utf-8").splitlines() == [
        f"{source}, frame 1: atoms 0 and 1 coincide (0 Å apart, at least 0.05)",
        f"{source}, frame 4: 'energy' contains NaN or infinity",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["{0}/x.xyz", "{0}/store", "--energy-key", "e"],
            "none of 6 structures can be used; {0}/x.xyz, frame 0: no 'e'",
        ),
        (["{0}/y.xyz", "{0}/store"], "{0}/y.xyz: no such file or folder; did you mean {0}/x.xyz?"),
        (["{0}/x.xyz", "{0}/x.xyz"], "{0}/x.xyz: exists, and is not written over; name a new store"),
        (["{0}/x.xyz", "{0}/store", "--json", "{0}/no/x.json"], "--json: {0}/no/x.json cannot be a file"),
        (["{0}/x.xyz"], "the following arguments are required: DEST"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, words, message):
    with_faults(tmp_path / "x.xyz")
    status, out, err = command(capsys, *(word.format(tmp_path) for word in words))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message.format(tmp_path) in err
    assert [path.name for path in tmp_path.iterdir()] == ["x.xyz"]


# Training from a store


def test_a_store_is_not_loaded(tmp_path):
    structures = waters(1)[0]
    structure = next(iter(entries(written(tmp_path / "x.xyz", 1), Labels()))).structure
    with new_store(tmp_path / "store") as writer:
        for index in range(20_000):
            writer.add(structure, f"frame {index}", None)
        writer.finish([], {}, {})
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
