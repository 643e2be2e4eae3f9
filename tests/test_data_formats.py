"""Reading data sets as they are published: every number in the right unit, every fault said in one line."""

import gzip
import json
import pickle
from pathlib import Path

import ase.db
import ase.io
import h5py
import lmdb
import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms
from data_files import (
    SPICE_UNITS,
    WATER_SMILES,
    aselmdb_row,
    mptrj_frame,
    spice_group,
    waters,
    write_aselmdb,
    write_mptrj,
    write_spice,
)

from mlip_design.data.formats.contract import Entry, Labels
from mlip_design.data.reading import entries, find_files
from mlip_design.structures import StructureError

BOHR, HARTREE, KILOBAR = 0.529177210, 27.2113860, 6.2415091e-4  # Å, eV, eV/Å^3; CODATA 2014


def read(path: Path, **labels: str) -> list[Entry]:
    """All entries of a file."""
    return list(entries(path, Labels(**labels)))


def reasons(path: Path, **labels: str) -> list[str]:
    """Why structures of a file cannot be used, in order."""
    return [entry.reason for entry in read(path, **labels)]


def refusal(path: Path, **labels: str) -> str:
    """The line with which a whole file is refused."""
    with pytest.raises(StructureError) as caught:
        read(path, **labels)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def same(entry: Entry, atoms: Atoms) -> bool:
    """Whether an entry holds what atoms and their calculation do."""
    structure, results = entry.structure, atoms.calc.results
    pairs = [(structure.positions, atoms.positions), (structure.cell, atoms.cell[:])]
    pairs += [(structure.energy, results["energy"]), (structure.forces, results["forces"])]
    return structure.numbers.tolist() == atoms.numbers.tolist() and all(
        np.allclose(one, other, rtol=0, atol=2e-8) for one, other in pairs
    )


# SPICE


def test_spice_in_units(tmp_path):
    arrays = spice_group(count=2)
    found = read(write_spice(tmp_path / "SPICE.hdf5", {"water": arrays}))
    assert [entry.name for entry in found] == [f"{tmp_path}/SPICE.hdf5, water, conformation {i}" for i in (0, 1)]
    for index, entry in enumerate(found):
        structure = entry.structure
        assert structure.numbers.tolist() == [8, 1, 1]
        assert not structure.pbc.any() and not structure.cell.any() and structure.stress is None
        in_bohr = arrays["conformations"][index].astype(float)
        np.testing.assert_allclose(structure.positions, in_bohr * BOHR, rtol=2e-9)
        assert structure.energy == pytest.approx(arrays["dft_total_energy"][index] * HARTREE, rel=1e-8)
        gradient = arrays["dft_total_gradient"][index].astype(float)
        np.testing.assert_allclose(structure.forces, -gradient * HARTREE / BOHR, rtol=4e-9)
        assert entry.group == WATER_SMILES


def test_spice_energies_keep_their_digits(tmp_path):
    """float64 hartrees are not rounded on the way, although geometries are float32."""
    arrays = spice_group(count=1)
    arrays["dft_total_energy"] = np.array([-2574.123456789012])
    (entry,) = read(write_spice(tmp_path / "x.h5", {"x": arrays}))
    assert entry.structure.energy / 27.211386024367243 == pytest.approx(-2574.123456789012, rel=1e-15)


def test_spice_with_another_energy(tmp_path):
    arrays = spice_group(count=1)
    (entry,) = read(write_spice(tmp_path / "x.hdf5", {"x": arrays}), energy="formation_energy")
    assert entry.structure.energy == pytest.approx(arrays["formation_energy"][0] * HARTREE, rel=1e-8)


def test_one_bad_conformation_of_spice_costs_no_other(tmp_path):
    arrays = spice_group(count=5)
    arrays["dft_total_energy"][1] = np.nan
    arrays["dft_total_gradient"][2, 0, 0] = np.nan
    arrays["conformations"][3, 2, 2] = np.nan
    others = spice_group(seed=1)
    del others["dft_total_gradient"]
    short = spice_group(seed=2)
    short["conformations"] = short["conformations"][:, :2]
    path = write_spice(tmp_path / "x.hdf5", {"a": arrays, "b": others, "c": short})
    found = reasons(path)
    assert found[:5] == [
        "",
        "'energy' contains NaN or infinity",
        "'dft_total_gradient' contains NaN or infinity",
        "positions must be finite, but there is NaN or infinity",
        "",
    ]
    assert "no 'dft_total_gradient' (has: atomic_numbers, conformations, dft_total_energy" in found[5]
    assert found[6:] == ["'conformations' has shape (3, 2, 3), not (3, 3, 3)"]


@pytest.mark.parametrize(("key", "unit"), [("conformations", "angstrom"), ("dft_total_energy", "eV")])
def test_spice_in_other_units_is_refused(tmp_path, key, unit):
    path = write_spice(tmp_path / "x.hdf5", {"water": spice_group()}, {**SPICE_UNITS, key: unit})
    assert f"water, {key}: units are {unit!r}, allowed is {SPICE_UNITS[key]!r}" in refusal(path)


def test_other_hdf5_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file["energies"] = np.zeros((4, 4))
    assert "energies: is no group of a molecule, as the SPICE layout has it" in refusal(tmp_path / "x.hdf5")
    path = write_spice(tmp_path / "y.hdf5", {"water": spice_group()})
    assert "--energy-key energy is not one of dft_total_energy, " in refusal(path, energy="energy")


def test_spice_without_units_is_what_the_layout_says(tmp_path):
    (entry,) = read(write_spice(tmp_path / "x.hdf5", {"water": spice_group(count=1)}, {}))
    assert entry.structure.energy < -2000


# MPtrj


def test_mptrj_in_units(tmp_path):
    frame = mptrj_frame()
    path = write_mptrj(tmp_path / "MPtrj.json", {"mp-22862": {"mp-22862-0-0": frame}})
    (entry,) = read(path)
    structure = entry.structure
    assert (entry.name, entry.group) == (f"{path}, mp-22862, mp-22862-0-0", "mp-22862")
    assert structure.numbers.tolist() == [11, 17] and structure.pbc.all()
    np.testing.assert_allclose(
        structure.positions, [site["xyz"] for site in frame["structure"]["sites"]], atol=1e-12
    )
    np.testing.assert_array_equal(structure.cell, frame["structure"]["lattice"]["matrix"])
    assert structure.energy == -7.25
    np.testing.assert_array_equal(structure.forces, frame["force"])
    np.testing.assert_allclose(structure.stress, -np.array(frame["stress"]) * KILOBAR, rtol=1e-7)
    (raw,) = read(path, energy="uncorrected_total_energy")
    assert raw.structure.energy == -6.75


def test_mptrj_compressed(tmp_path):
    path = tmp_path / "MPtrj.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"mp-1": {"a": mptrj_frame(), "b": mptrj_frame(1)}}).encode()))
    assert [entry.structure.energy for entry in read(path)] == [-7.25, -8.25]


def test_bad_frames_of_mptrj_cost_no_other(tmp_path):
    shared = mptrj_frame()
    shared["structure"]["sites"][0]["species"] = [{"element": "Na", "occu": 0.5}, {"element": "K", "occu": 0.5}]
    strange = mptrj_frame()
    strange["structure"]["sites"][1]["species"][0]["element"] = "Qq"
    frames = {
        "good": mptrj_frame(stress=None),
        "without forces": mptrj_frame(force=None),
        "without energy": mptrj_frame(corrected_total_energy=None),
        "NaN": mptrj_frame(force=[[0, 0, np.nan], [0, 0, 0]]),
        "short": mptrj_frame(force=[[0, 0, 0]]),
        "without structure": mptrj_frame(structure=None),
        "shared": shared,
        "strange": strange,
        "broken": mptrj_frame(structure={"lattice": {}}),
        "also good": mptrj_frame(),
    }
    del frames["NaN"]  # JSON has no NaN; a file that holds one is refused, see below
    found = read(write_mptrj(tmp_path / "x.json", {"mp-1": frames}))
    assert found[0].structure.stress is None
    by_name = {entry.name.rpartition(", ")[2]: entry.reason for entry in found}
    assert by_name["good"] == by_name["also good"] == ""
    assert by_name["without forces"].startswith("no 'force' (has: ")
    assert "did you mean 'uncorrected_total_energy'?" in by_name["without energy"]
    assert by_name["short"] == "'force' must hold numbers of shape (2, 3)"
    assert by_name["without structure"].startswith("no 'structure' (has: ")
    assert by_name["shared"].startswith("a site is shared or partly empty")
    assert by_name["strange"] == "'Qq' is no element"
    assert by_name["broken"].startswith("cannot be read as a structure")


def test_mptrj_with_nan_is_refused(tmp_path):
    path = write_mptrj(tmp_path / "x.json", {"mp-1": {"a": mptrj_frame(force=[[0, 0, np.nan], [0, 0, 0]])}})
    assert "cannot be read on after 0 structures" in refusal(path)


@pytest.mark.parametrize("content", [{"mp-1": 3}, {"mp-1": {"a": [1, 2]}}])
def test_other_json_is_refused(tmp_path, content):
    (tmp_path / "x.json").write_text(json.dumps(content))
    assert "mp-1: is no mapping of frames, as the MPtrj layout has it" in refusal(tmp_path / "x.json")


# ASE databases and LMDB


@pytest.mark.parametrize("name", ["x.db", "x.json"])
def test_ase_databases(tmp_path, name):
    images = waters(5)
    images[2].set_constraint(FixAtoms([0]))
    with ase.db.connect(tmp_path / name) as database:
        for index, atoms in enumerate(images):
            database.write(atoms, smiles=f"molecule {index // 2}", data={"REF_energy": 7.0 + index})
    found = read(tmp_path / name)
    assert all(same(entry, atoms) for entry, atoms in zip(found, images, strict=True))
    if name == "x.db":
        found = read(tmp_path / name, energy="REF_energy", group="smiles")
        assert [entry.structure.energy for entry in found] == [7, 8, 9, 10, 11]
        assert [entry.group for entry in found] == [f"molecule {i}" for i in (0, 0, 1, 1, 2)]


def test_large_ase_databases_come_in_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("mlip_design.data.formats.ase_database.CHUNK", 4)
    with ase.db.connect(tmp_path / "x.db") as database:
        for atoms in waters(11):
            database.write(atoms)
        database.delete([3, 8])
    names = [entry.name.rpartition("row ")[2] for entry in read(tmp_path / "x.db")]
    assert names == ["1", "2", "4", "5", "6", "7", "9", "10", "11"]


@pytest.mark.parametrize("plain", [False, True], ids=["arrays", "lists"])
def test_aselmdb(tmp_path, plain):
    images = waters(12)
    images[3].set_constraint(FixAtoms([0]))
    rows = [aselmdb_row(atoms, plain, source=f"run {index % 3}") for index, atoms in enumerate(images)]
    path = write_aselmdb(tmp_path / "x.aselmdb", rows, deleted=(5,))
    found = read(path, group="source")
    kept = [index for index in range(12) if index != 4]
    assert all(same(entry, images[index]) for entry, index in zip(found, kept, strict=True))
    assert [entry.group for entry in found] == [f"run {index % 3}" for index in kept]


def test_aselmdb_keeps_cell_and_stress(tmp_path):
    (atoms,) = waters(1, stress=np.array([0.1, -0.2, 0.3, 0.01, 0.02, -0.03]))
    atoms.set_cell([[5, 0, 0], [0.5, 6, 0], [0, 0, 7]])
    atoms.pbc = (True, True, False)
    atoms.calc.atoms = atoms.copy()
    (entry,) = read(write_aselmdb(tmp_path / "x.aselmdb", [aselmdb_row(atoms, False)]))
    assert same(entry, atoms)
    assert entry.structure.pbc.tolist() == [True, True, False]
    np.testing.assert_allclose(entry.structure.stress, atoms.get_stress(voigt=False))


class Bomb:
    """Leaves a file behind if it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path):
    """LMDB files of earlier layouts hold pickles; those are refused, also in the place of a row."""
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    old, mixed = tmp_path / "old.lmdb", tmp_path / "mixed.aselmdb"
    with lmdb.open(str(old), subdir=False, map_size=1 << 20) as environment, environment.begin(write=True) as put:
        put.put(b"0", bomb)
        put.put(b"length", pickle.dumps(1))
    assert "nextid: is not there, as it is in an LMDB of ASE rows" in refusal(old)
    write_aselmdb(mixed, [aselmdb_row(waters(1)[0], False)] * 2)
    with (
        lmdb.open(str(mixed), subdir=False, map_size=1 << 26) as environment,
        environment.begin(write=True) as put,
    ):
        put.put(b"2", bomb)
    first, second = reasons(mixed)
    assert first == "" and second.startswith("is no compressed JSON of ASE; nothing else is read")
    assert not (tmp_path / "exploded").exists()
    pickle.loads(bomb)  # the bomb is live
    assert (tmp_path / "exploded").exists()


def test_damaged_rows_cost_no_other(tmp_path):
    good = aselmdb_row(waters(1)[0], False)
    without = {key: value for key, value in good.items() if key != "numbers"}
    path = write_aselmdb(tmp_path / "x.aselmdb", [good, without, {**good, "positions": [[0, 0]]}, good])
    assert [bool(reason) for reason in reasons(path)] == [False, True, True, False]


# XYZ


def test_a_bad_frame_of_xyz_costs_no_other(tmp_path):
    path = tmp_path / "x.xyz"
    ase.io.write(path, waters(3), format="extxyz")
    lines = path.read_text().splitlines()
    lines[7] = lines[7].replace("O ", "O zero")
    path.write_text("\n".join(lines) + "\n")
    first, second, third = reasons(path)
    assert first == third == ""
    assert second.startswith("cannot be read as a structure")


def test_groups_of_xyz(tmp_path):
    images = waters(4)
    for index, atoms in enumerate(images):
        atoms.info["config"] = index // 2
    ase.io.write(tmp_path / "x.xyz", images, format="extxyz")
    assert [entry.group for entry in read(tmp_path / "x.xyz", group="config")] == ["0", "0", "1", "1"]
    assert [entry.group for entry in read(tmp_path / "x.xyz")] == [None] * 4
    assert reasons(tmp_path / "x.xyz", group="cofig") == ["no 'cofig' (has: config, energy, forces)"] * 4


# Files as a whole


def files_of_every_format(folder: Path) -> dict[str, Path]:
    """A good file of each format."""
    ase.io.write(folder / "x.xyz", waters(20), format="extxyz")
    (folder / "x.xyz.gz").write_bytes(gzip.compress((folder / "x.xyz").read_bytes()))
    ase.io.write(folder / "x.db", waters(20))
    return {
        "xyz": folder / "x.xyz",
        "xyz.gz": folder / "x.xyz.gz",
        "db": folder / "x.db",
        "hdf5": write_spice(folder / "x.hdf5", {f"m{i}": spice_group(seed=i) for i in range(20)}),
        "json": write_mptrj(folder / "x.json", {f"mp-{i}": {"a": mptrj_frame(i)} for i in range(20)}),
        "aselmdb": write_aselmdb(folder / "x.aselmdb", [aselmdb_row(a, False) for a in waters(20)]),
    }


FORMATS = ("xyz", "xyz.gz", "db", "hdf5", "json", "aselmdb")


@pytest.mark.parametrize("name", FORMATS)
def test_progress_goes_from_nothing_to_the_whole(tmp_path, name):
    fractions = [entry.fraction for entry in read(files_of_every_format(tmp_path)[name])]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0 and all(0 <= fraction <= 1 for fraction in fractions)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.8])
def test_truncated_files_are_refused(tmp_path, name, kept):
    path = files_of_every_format(tmp_path)[name]
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    refusal(path)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "xyz.gz"])
def test_garbage_is_refused(tmp_path, name):
    path = tmp_path / f"x.{name}"
    path.write_bytes(b"garbage\x00\xff\xfe" * 3000)
    refusal(path)


@pytest.mark.parametrize(("name", "key"), [("hdf5", "forces"), ("json", "stress"), ("json", "group")])
def test_names_that_a_format_does_not_use_are_refused(tmp_path, name, key):
    assert f"--{key}-key mine" in refusal(files_of_every_format(tmp_path)[name], **{key: "mine"})


def test_folders_are_searched(tmp_path):
    files = files_of_every_format(tmp_path)
    (tmp_path / "deep").mkdir()
    files["xyz"].rename(tmp_path / "deep" / "y.xyz")
    (tmp_path / "notes.md").write_text("read me")
    (tmp_path / ".hidden.xyz").write_text("no")
    found, others = find_files([tmp_path])
    assert [path.name for path in found] == ["y.xyz", "x.aselmdb", "x.db", "x.hdf5", "x.json", "x.xyz.gz"]
    assert {path.name for path in others} == {"notes.md", "x.aselmdb-lock"}
    (tmp_path / "empty").mkdir()
    with pytest.raises(StructureError, match=r"empty: holds no files to read; known are \.xyz, "):
        find_files([tmp_path / "empty"])
    with pytest.raises(FileNotFoundError, match=r"no such file or folder; did you mean .*notes\.md"):
        find_files([tmp_path / "note.md"])


def test_the_comparison_of_this_file_can_fail(tmp_path):
    one, other = waters(2)
    ase.io.write(tmp_path / "x.xyz", one, format="extxyz")
    (entry,) = read(tmp_path / "x.xyz")
    assert same(entry, one) and not same(entry, other)
