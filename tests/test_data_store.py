"""Stores: whole or not there, the same structures as in the sources, read by many without being loaded."""

import json
import os
import signal
import tempfile
from multiprocessing import get_context
from pathlib import Path

import ase.io
import numpy as np
import pytest
from data_files import aselmdb_row, mptrj_frame, spice_group, waters, write_aselmdb, write_mptrj, write_spice
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import same, stored, written

from mlip_design import cli
from mlip_design.data import reading, store_writer
from mlip_design.data.formats.contract import Entry, Labels
from mlip_design.data.reading import entries
from mlip_design.data.store import names_of, open_store
from mlip_design.data.store_writer import StoreWriter, new_store
from mlip_design.structures import Structure, StructureError

FORK = get_context("fork")


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
            writer.finish([], {})
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


def three_sources(folder: Path) -> list[Path]:
    """Files that share groups, with something to leave out in each."""
    folder.mkdir()
    found = []
    for number in range(3):
        images = [*waters(4, seed=number), *waters(1, seed=number)]
        for image, atoms in enumerate(images):
            atoms.info["smiles"] = ["O", f"O {number}", f"O{number % 2}"][image % 3]
        images[-1].positions[1] = images[-1].positions[0]
        found.append(folder / f"{number}.xyz")
        ase.io.write(found[-1], images, format="extxyz")
    return found


def prepare_and_die(sources: list[Path], to: Path, after: int) -> None:
    """Be killed within the source after so many."""
    store_writer.SAVE_SECONDS = 0.0
    add, begun = StoreWriter.add, []

    def adding(writer, *what) -> None:
        begun.append(what)
        if writer.n_files == after and writer.arrays["sizes"].length > 4 * after:
            os.kill(os.getpid(), signal.SIGKILL)
        add(writer, *what)

    StoreWriter.add = adding
    stored(*sources, to=to, group="smiles")


def content(folder: Path) -> dict[str, bytes]:
    """All files of a store."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_killed_preparation_goes_on_after_the_last_source_that_was_done(tmp_path, monkeypatch, after):
    sources = three_sources(tmp_path / "sources")
    stored(*sources, to=tmp_path / "whole", group="smiles")
    process = FORK.Process(target=prepare_and_die, args=(sources, tmp_path / "store", after))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    read = []
    monkeypatch.setattr(reading, "reader_of", lambda path: read.append(path) or reading.read_xyz)
    assert stored(*sources, to=tmp_path / "store", group="smiles").contents.structures == 12
    assert read == sources[after:]
    assert content(tmp_path / "store") == content(tmp_path / "whole")
    assert len((tmp_path / "store" / "left_out.txt").read_text().splitlines()) == 3


@pytest.mark.parametrize("change", ["touched", "labels", "fewer", "damaged"])
def test_another_question_begins_anew(tmp_path, change):
    sources = three_sources(tmp_path / "sources")
    process = FORK.Process(target=prepare_and_die, args=(sources, tmp_path / "store", 2))
    process.start()
    process.join(60)
    if change == "touched":
        os.utime(sources[0], (1, 1))
    if change == "damaged":
        (tmp_path / ".store.partial" / "saved.json").write_text("{")
    sources = sources[:2] if change == "fewer" else sources
    names = {} if change == "labels" else {"group": "smiles"}
    stored(*sources, to=tmp_path / "store", **names)
    stored(*sources, to=tmp_path / "whole", **names)
    assert content(tmp_path / "store") == content(tmp_path / "whole")


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
