"""Reading structures: labels, formats and units survive; everything that cannot be used is refused in one line."""

import bz2
import gzip
import lzma
import tempfile
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from conftest import ethanol
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design.structures import Structure, StructureError, from_atoms, read_structures

HEADER = 'Lattice="{cell}" Properties=species:S:1:pos:R:3:forces:R:3 energy={energy} pbc="{pbc}"'


def labelled(atoms: ase.Atoms, seed: int = 0, **results) -> ase.Atoms:
    """Atoms with an energy and forces as a calculation leaves them."""
    forces = np.random.default_rng(seed).normal(size=(len(atoms), 3))
    atoms.calc = SinglePointCalculator(atoms, **{"energy": -3.25 - seed, "forces": forces, **results})
    return atoms


def frames() -> list[ase.Atoms]:
    """A molecule and a strained crystal with a stress."""
    crystal = bulk("Cu", "fcc", a=3.7, cubic=True)
    crystal.rattle(0.1, seed=1)
    return [labelled(molecule("CH4")), labelled(crystal, 1, stress=np.array([0.1, -0.2, 0.3, 0.01, 0.02, -0.03]))]


def extxyz(
    positions: tuple[str, ...] = ("0 0 0", "0 0 1.1"),
    cell: str = "9 0 0 0 9 0 0 0 9",
    pbc: str = "F F F",
    energy: str = "-1.5",
    forces: str = "0 0 0.1",
    symbol: str = "H",
) -> str:
    """The text of a frame."""
    rows = [f"{symbol} {row} {forces}" for row in positions]
    return "\n".join([str(len(rows)), HEADER.format(cell=cell, pbc=pbc, energy=energy), *rows]) + "\n"


def refusal(path: Path, **keys) -> str:
    """The message with which a file is refused."""
    with pytest.raises(StructureError) as caught:
        list(read_structures(path, **keys))
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def same(structure: Structure, atoms: ase.Atoms) -> bool:
    """Whether a structure holds just what the atoms and their calculation hold, to the digits of a text file."""
    close = [
        (structure.positions, atoms.positions),
        (structure.cell, atoms.cell[:]),
        (structure.energy, atoms.calc.results["energy"]),
        (structure.forces, atoms.calc.results["forces"]),
    ]
    if "stress" in atoms.calc.results:
        close.append((structure.stress, atoms.get_stress(voigt=False)))
    else:
        assert structure.stress is None
    assert np.array_equal(structure.numbers, atoms.numbers)
    assert np.array_equal(structure.pbc, atoms.pbc)
    return all(np.allclose(a, b, rtol=0, atol=2e-8) for a, b in close)


# What is read


@pytest.mark.parametrize("name", ["x.xyz", "x.extxyz", "x.db", "x.json", "x.traj"])
def test_formats_keep_everything(tmp_path, name):
    write(tmp_path / name, frames())
    read = list(read_structures(tmp_path / name))
    assert len(read) == 2
    assert all(same(structure, atoms) for structure, atoms in zip(read, frames(), strict=True))


@pytest.mark.parametrize(("suffix", "opened"), [(".gz", gzip.open), (".xz", lzma.open), (".bz2", bz2.open)])
def test_compressed_files(tmp_path, suffix, opened):
    write(tmp_path / "x.xyz", frames())
    packed = tmp_path / f"x.xyz{suffix}"
    with opened(packed, "wb") as file:
        file.write((tmp_path / "x.xyz").read_bytes())
    read = list(read_structures(packed))
    assert all(same(structure, atoms) for structure, atoms in zip(read, frames(), strict=True))


@pytest.mark.parametrize("name", ["a@1.xyz", "a@:2.xyz", "a b[1]*.xyz", "-x.xyz", "ä.xyz"])
def test_strange_names_are_just_names(tmp_path, name):
    (tmp_path / name).write_text(extxyz())
    assert len(list(read_structures(tmp_path / name))) == 1


def test_keys_are_the_users(tmp_path):
    atoms = molecule("H2O")
    atoms.info.update(REF_energy=-7.5, REF_stress=np.arange(9.0).reshape(3, 3))
    atoms.set_cell([5, 6, 7])
    atoms.arrays["REF_forces"] = np.arange(9.0).reshape(3, 3)
    write(tmp_path / "x.xyz", atoms, format="extxyz")
    (structure,) = read_structures(tmp_path / "x.xyz", "REF_energy", "REF_forces", "REF_stress")
    assert structure.energy == -7.5
    assert np.array_equal(structure.forces, np.arange(9.0).reshape(3, 3))
    assert np.array_equal(structure.stress, np.arange(9.0).reshape(3, 3))


def test_stress_means_nothing_without_volume(tmp_path):
    atoms = molecule("H2O")
    atoms.info.update(e=1.0, s=np.zeros(6))
    atoms.arrays["f"] = np.zeros((3, 3))
    write(tmp_path / "x.xyz", atoms, format="extxyz")
    (structure,) = read_structures(tmp_path / "x.xyz", "e", "f", "s")
    assert structure.stress is None


def test_frames_come_one_at_a_time(tmp_path):
    (tmp_path / "x.xyz").write_text(extxyz() + extxyz(energy="NaN"))
    reader = read_structures(tmp_path / "x.xyz")
    assert next(reader).energy == -1.5
    with pytest.raises(StructureError, match="frame 1"):
        next(reader)


def test_slab_without_third_vector():
    cell = [[3.0, 0, 0], [0, 4.0, 0], [0, 0, 0]]
    slab = from_atoms(ase.Atoms("CO", [[0, 0, 0], [1, 1, 1]], cell=cell, pbc=(True, True, False)))
    assert slab.pbc.tolist() == [True, True, False]


def test_structure_does_not_change_with_the_atoms_it_came_from():
    atoms = molecule("H2O")
    structure = from_atoms(atoms)
    atoms.positions += 1
    assert np.abs(structure.positions - atoms.positions).min() > 0.5


# What is refused


def test_missing_file_names_the_closest(tmp_path):
    (tmp_path / "training.xyz").write_text(extxyz())
    with pytest.raises(FileNotFoundError, match=r"trainign\.xyz: no such file; did you mean .*training\.xyz\?"):
        next(read_structures(tmp_path / "trainign.xyz"))
    with pytest.raises(FileNotFoundError, match=r"its folder .* does not exist"):
        next(read_structures(tmp_path / "nowhere" / "x.xyz"))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"energy_key": "REF_energy"}, ["no 'REF_energy'", "has: energy, forces", "did you mean 'energy'?"]),
        ({"forces_key": "force"}, ["no 'force'", "has: energy, forces", "did you mean 'forces'?"]),
        ({"energy_key": "zzz"}, ["no 'zzz' (has: energy, forces)"]),
    ],
)
def test_missing_label_shows_what_there_is(tmp_path, keys, words):
    (tmp_path / "x.xyz").write_text(extxyz())
    message = refusal(tmp_path / "x.xyz", **keys)
    assert "frame 0" in message and all(word in message for word in words)


def test_no_labels_at_all(tmp_path):
    write(tmp_path / "x.xyz", molecule("CH4"), format="xyz")
    assert "frame 0: no 'energy' (has: no labels)" in refusal(tmp_path / "x.xyz")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"energy": "NaN"}, "'energy' contains NaN or infinity"),
        ({"energy": "inf"}, "'energy' contains NaN or infinity"),
        ({"energy": "none"}, "'energy' must hold numbers"),
        ({"energy": '"1 2 3"'}, "'energy' must hold numbers"),
        ({"forces": "0 NaN 0"}, "'forces' contains NaN or infinity"),
        ({"positions": ("0 0 0", "0 0 NaN")}, "positions must be finite"),
        ({"positions": ("0 0 0", "0 0 0")}, "atoms 0 and 1 coincide (0 Å apart, at least 0.05)"),
        ({"positions": ("0 0 0.01", "0 0 8.99"), "pbc": "T T T"}, "coincide (0.02 Å apart"),
        ({"positions": ("0 0 0", "27 -18 9.001"), "pbc": "T T T"}, "coincide (0.001 Å apart"),
        ({"cell": "0 0 0 0 0 0 0 0 0", "pbc": "T T T"}, "periodic along a, b, c, but that cell vector is missing"),
        ({"cell": "9 0 0 0 0 0 0 0 9", "pbc": "F T F"}, "periodic along b, but that cell vector is missing"),
        ({"cell": "9 0 0 18 0 0 0 0 9", "pbc": "T T T"}, "its cell has no volume"),
        ({"cell": "9 0 0 0 nan 0 0 0 9", "pbc": "T T T"}, "cell must be finite"),
        ({"symbol": "X"}, "0 is no atomic number"),
        ({"symbol": "Qq"}, "cannot be read"),
    ],
)
def test_frames_that_make_no_sense(tmp_path, change, words):
    (tmp_path / "x.xyz").write_text(extxyz() + extxyz(**change))
    message = refusal(tmp_path / "x.xyz")
    assert "frame 1" in message and words in message


@pytest.mark.parametrize("stress", [[1.0, 2.0], [np.nan] * 6, np.full((3, 3), np.inf)])
def test_wrong_stress(tmp_path, stress):
    atoms = bulk("Cu", "fcc", a=3.7)
    atoms.info.update(e=1.0, s=np.array(stress))
    atoms.arrays["f"] = np.zeros((1, 3))
    write(tmp_path / "x.xyz", atoms, format="extxyz")
    assert "frame 0: 's'" in refusal(tmp_path / "x.xyz", energy_key="e", forces_key="f", stress_key="s")


def test_cell_that_holds_two_images_at_one_place():
    with pytest.raises(StructureError, match="atoms 0 and 0 coincide"):
        from_atoms(ase.Atoms("H", cell=[9, 9, 0.04], pbc=True))


@pytest.mark.parametrize(
    "name", ["x.xyz", "x.extxyz", "x.db", "x.json", "x.traj", "x.cif", "x", "x.xyz.gz", "x.xz"]
)
@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"garbage\x00\xff\xfe", b"3\n\nH 0 0 0\n", b"{}", b"SQLite format 3"]
)
def test_empty_and_garbage_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    refusal(tmp_path / name)


def test_empty_compressed_file(tmp_path):
    with gzip.open(tmp_path / "x.xyz.gz", "wb"):
        pass
    assert "holds no structures" in refusal(tmp_path / "x.xyz.gz")


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (extxyz() + "\n" + extxyz(), "frame 1: an empty line where a frame should begin"),
        (extxyz() + extxyz()[:-30], "frame 1: the file ends within its 2 atoms"),
        (extxyz() + "999999999999\n", "frame 1: the file ends within its 999999999999 atoms"),
        (extxyz() + "two\n" + extxyz(), "frame 1: 'two' is no number of atoms"),
        (extxyz() + "-2\n" + extxyz(), "frame 1: '-2' is no number of atoms"),
    ],
)
def test_frames_are_not_lost_silently(tmp_path, suffix, text, words):
    path = tmp_path / f"x.xyz{suffix}"
    with gzip.open(path, "wt") if suffix else path.open("w") as file:
        file.write(text)
    assert words in refusal(path)


def test_empty_lines_at_the_end_are_fine(tmp_path):
    (tmp_path / "x.xyz").write_text(extxyz() + extxyz() + "\n \n")
    assert len(list(read_structures(tmp_path / "x.xyz"))) == 2


def test_a_folder_is_no_file(tmp_path):
    refusal(tmp_path)


def test_frame_without_atoms(tmp_path):
    (tmp_path / "x.xyz").write_text("0\nenergy=1.0\n")
    refusal(tmp_path / "x.xyz")


def refused_or_sound(content: bytes, suffix: str = ".xyz") -> None:
    """Reading gives structures that keep every promise, or a StructureError of one line; never anything else."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        path.write_bytes(content)
        try:
            read = list(read_structures(path))
        except StructureError as error:
            assert "\n" not in str(error) and path.name in str(error)
            return
    assert read
    for structure in read:
        n_atoms = len(structure.numbers)
        assert n_atoms and structure.positions.shape == structure.forces.shape == (n_atoms, 3)
        assert np.isfinite(structure.positions).all() and np.isfinite(structure.forces).all()
        assert np.isfinite(structure.energy)
        assert structure.stress is None or structure.stress.shape == (3, 3)


@given(content=st.binary(max_size=200), suffix=st.sampled_from([".xyz", ".traj", ".db", ".json", ".xyz.gz", ""]))
@settings(max_examples=60, deadline=None)
def test_random_bytes_are_refused(content, suffix):
    refused_or_sound(content, suffix)


@given(content=st.binary(max_size=200))
@settings(max_examples=30, deadline=None)
def test_random_compressed_bytes_are_refused(content):
    refused_or_sound(gzip.compress(content), ".xyz.gz")


GOOD = (extxyz() + extxyz(pbc="T T F")).encode()
JUNK = st.sampled_from(
    [b"", b"nan", b"-", b"\n", b" ", b'"', b"=", b"1e999", b"\xff", b"999999999999", b"T", b"{", b"0"]
)


@given(start=st.integers(0, len(GOOD)), length=st.integers(0, 30), junk=JUNK)
@settings(max_examples=150, deadline=None)
def test_mangled_files_are_refused_or_read_soundly(start, length, junk):
    refused_or_sound(GOOD[:start] + junk + GOOD[start + length :])


@given(
    words=st.lists(
        st.sampled_from(
            ["energy", "forces", "pbc", "Lattice", "Properties", "=", ":", '"', "species", "S", "R", "1", "T"]
        ),
        max_size=15,
    )
)
@settings(max_examples=100, deadline=None)
def test_any_comment_line_is_refused_or_read_soundly(words):
    refused_or_sound(f"1\n{' '.join(words)}\nH 0 0 0 0 0 0\n".encode())


@given(seed=st.integers(0, 10**6), n_atoms=st.integers(1, 6), pbc=st.tuples(*[st.booleans()] * 3))
@settings(max_examples=30, deadline=None)
def test_round_trip(seed, n_atoms, pbc):
    random = np.random.default_rng(seed)
    cell = np.diag(random.uniform(3, 6, 3)) + random.uniform(-1, 1, (3, 3))
    positions = random.uniform(0, 1, 3) + 1.3 * np.arange(n_atoms)[:, None] * [1, 0.2, 0.1]
    atoms = ase.Atoms(random.integers(1, 90, n_atoms), positions, cell=cell, pbc=pbc)
    try:
        from_atoms(atoms)
    except StructureError:
        return
    stress = {"stress": random.normal(size=6)} if seed % 2 else {}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "x.xyz", labelled(atoms, seed, **stress))
        (structure,) = read_structures(Path(folder) / "x.xyz")
    assert same(structure, atoms)


def test_the_check_of_round_trips_can_fail():
    atoms = labelled(molecule("CH3CH2OH"))
    assert not same(Structure(**{**vars(ethanol()), "energy": 0.0, "forces": np.zeros((9, 3))}), atoms)
