"""Reading structures: everything that cannot be used is refused in one line, also what nobody thought of."""

import gzip
import tempfile
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import write
from hypothesis import given, settings
from hypothesis import strategies as st
from structure_files import extxyz

from mlip_design.structures import StructureError, from_atoms, read_structures


def refusal(path: Path, **keys) -> str:
    """The message with which a file is refused."""
    with pytest.raises(StructureError) as caught:
        list(read_structures(path, **keys))
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


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


def test_a_header_of_endless_columns(tmp_path):
    """Of which ASE makes lists before it looks at a row: they took all memory of the machine."""
    (tmp_path / "x.xyz").write_text(extxyz().replace("pos:R:3", "pos:R:999999999999"))
    assert "frame 0" in (message := refusal(tmp_path / "x.xyz"))
    assert "Properties announces 999999999999 columns, at most 10000 are read" in message


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
