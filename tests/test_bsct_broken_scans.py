"""Every way a set of bond scans can be broken: one line that names the file, or the system left out; no traceback."""

import io
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_files import System, edit, write_partition, write_set

from mlip_design.bsct import ScanError, load_scans, read_scans


def truncate(path: Path, n_lines: int) -> None:
    path.write_text("\n".join(path.read_text().split("\n")[:n_lines]) + "\n")


def copy_frame(folder: Path, name: str) -> None:
    shutil.copy(folder / "atoms_0.xyz", folder / name)


def shift_a_number(path: Path) -> None:
    """From the end of the first atom's row to the beginning of the next one."""
    path.write_text(re.sub(r" (\S+)\nN ", r"\n\1 N ", path.read_text()))


FORCES = "forces:R:3"
BROKEN = {
    "missing frame": (
        lambda f: (f / "atoms_3.xyz").unlink(),
        r"C-N/1: atoms_3\.xyz is missing; .* 5 frames.* found 4",
    ),
    "no frame": (
        lambda f: [p.unlink() for p in f.glob("atoms_*")],
        r"C-N/1: atoms_0\.xyz is missing; .* found 0",
    ),
    "extra frame": (lambda f: copy_frame(f, "atoms_5.xyz"), r"C-N/1: atoms_5\.xyz is unexpected; .* found 6"),
    "backup copy": (lambda f: copy_frame(f, "atoms_01.xyz"), r"C-N/1: atoms_01\.xyz is unexpected"),
    "other atoms": (
        lambda f: edit(f / "atoms_3.xyz", "H ", "F "),
        r"atoms_3\.xyz: atoms are CNF, .* of atoms_0\.xyz",
    ),
    "dummy atoms": (
        lambda f: [edit(p, "H ", "X ") for p in f.glob("atoms_*")],
        r"atoms_0\.xyz: CNX holds an atom",
    ),
    "unknown element": (lambda f: edit(f / "atoms_3.xyz", "H ", "Qq "), r"atoms_3\.xyz: not extended XYZ"),
    "endless columns": (
        lambda f: edit(f / "atoms_3.xyz", "pos:R:3", "pos:R:999999999999"),
        r"atoms_3\.xyz: not extended XYZ .*announces 999999999999 columns",
    ),
    "a number on the next line": (
        lambda f: shift_a_number(f / "atoms_3.xyz"),
        r"atoms_3\.xyz: not extended XYZ",
    ),
    "missing atom": (
        lambda f: truncate(f / "atoms_3.xyz", 4),
        r"atoms_3\.xyz: first line is '3', expected .* 2$",
    ),
    "empty frame": (
        lambda f: (f / "atoms_3.xyz").write_text(""),
        r"atoms_3\.xyz: first line is '', expected",
    ),
    "no energy": (
        lambda f: edit(f / "atoms_3.xyz", "energy=", "e="),
        r"atoms_3\.xyz: no energy or not a finite number",
    ),
    "text energy": (
        lambda f: edit(f / "atoms_3.xyz", "energy=1.5", "energy=low"),
        r"atoms_3\.xyz: no energy or not",
    ),
    "two energies": (
        lambda f: edit(f / "atoms_3.xyz", "energy=1.5", 'energy="1 2"'),
        r"atoms_3\.xyz: no energy or not",
    ),
    "infinite energy": (
        lambda f: edit(f / "atoms_3.xyz", "energy=1.5", "energy=inf"),
        r"atoms_3\.xyz: no energy or",
    ),
    "no forces": (
        lambda f: edit(f / "atoms_3.xyz", FORCES, "pull:R:3"),
        r"atoms_3\.xyz: no forces or not finite",
    ),
    "two forces": (lambda f: edit(f / "atoms_3.xyz", FORCES, "forces:R:2"), r"atoms_3\.xyz: n"),
    "NaN force": (
        lambda f: edit(f / "atoms_3.xyz", "0.95637593", "nan"),
        r"atoms_3\.xyz: no forces or not finite",
    ),
    "NaN position": (
        lambda f: edit(f / "atoms_3.xyz", "-1.10000000", "nan"),
        r"atoms_3\.xyz: positions must be finite",
    ),
    "no number": (
        lambda f: edit(f / "atoms_3.xyz", "-1.10000000", "-1.1O"),
        r"atoms_3\.xyz: not extended XYZ",
    ),
    "periodic": (
        lambda f: edit(f / "atoms_3.xyz", "F F F", "T T T"),
        r"atoms_3\.xyz: pbc is \[True, True, True\]",
    ),
    "plain XYZ": (lambda f: edit(f / "atoms_3.xyz", "Properties", "Title"), r"atoms_3\.xyz: n"),
    "not text": (
        lambda f: (f / "atoms_3.xyz").write_bytes(b"\xff\xfe\x00"),
        r"atoms_3\.xyz: unreadable .*codec",
    ),
    "wrong length": (
        lambda f: edit(f / "atoms_3.xyz", "1.30000000", "1.30200000"),
        r"atoms_3\.xyz: bond \[0 1\] is 1\.302",
    ),
    "no partition": (lambda f: (f / "partition.npz").unlink(), r"C-N/1/partition\.npz: missing"),
    "damaged partition": (
        lambda f: (f / "partition.npz").write_bytes(b"PK\x03\x04 junk"),
        r"partition\.npz: unreadable",
    ),
    "empty partition": (lambda f: (f / "partition.npz").write_bytes(b""), r"partition\.npz: unreadable"),
    "too few energies": (
        lambda f: [edit(f / f"atoms_{i}.xyz", "energy=", "energy=nan old=") for i in range(4)],
        r"C-N/1: 1 of 5 frames have an energy",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_system(tmp_path, case):
    breaks, message = BROKEN[case]
    breaks(System().write(tmp_path))
    with pytest.raises(ScanError, match=message) as caught:
        load_scans(tmp_path)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_system_is_named_and_left_out(tmp_path, case):
    """The others are read, the first time and from the cache, and the broken one is read again once it is mended."""
    breaks, message = BROKEN[case]
    breaks(System().write(tmp_path))
    System("C-C", "7").write(tmp_path)
    for _ in range(2):
        found = read_scans(tmp_path)
        assert [scan.name for scan in found.scans] == ["C-C/7"]
        assert list(found.left_out) == ["C-N/1"]
        assert re.search(message, found.left_out["C-N/1"])
    shutil.rmtree(tmp_path / "C-N")
    System().write(tmp_path)
    assert read_scans(tmp_path).left_out == {}


def test_an_empty_folder_is_a_system_without_files(tmp_path):
    write_set(tmp_path)
    (tmp_path / "C-C" / "3").mkdir()
    assert list(read_scans(tmp_path).left_out) == ["C-C/3"]
    with pytest.raises(ScanError, match=r"C-C/3/partition\.npz: missing"):
        load_scans(tmp_path)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"bond_index": None}, "expected the keys bond, bond_index and perturb_range"),
        ({"bond": "C-O"}, "bond is 'C-O', its folder says 'C-N'"),
        ({"bond_index": np.array([0, 3])}, r"bond_index \[0 3\] of 3 atoms"),
        ({"bond_index": np.array([1, 1])}, r"bond_index is \[1 1\], expected two different atoms"),
        ({"bond_index": np.array([-1, 1])}, r"bond_index is \[-1 1\], expected two different atoms"),
        ({"bond_index": np.array([0.0, 1.0])}, "expected two different atoms"),
        (
            {"bond_index": np.array([0, 2])},
            r"atoms_0.xyz: bond \[0 2\] is 1.100000 Å long, perturb_range gives 0.7",
        ),
        (
            {"perturb_range": np.array([0.7, 1.5])},
            r"perturb_range is \[0.7 1.5\], expected \(first, last, count\)",
        ),
        ({"perturb_range": np.array(["a", "b", "c"])}, r"expected \(first, last, count\)"),
        ({"perturb_range": np.array([1.5, 0.7, 5])}, "expected 0 < first < last"),
        ({"perturb_range": np.array([0.7, 1.5, 4.5])}, "expected 0 < first < last, count >= 2"),
        ({"perturb_range": np.array([0.7, np.nan, 5])}, "expected 0 < first < last, count >= 2"),
        ({"perturb_range": np.array([0.7, 1.5, 1e300])}, "atoms_5.xyz is missing"),
        ({"perturb_range": np.array([0.7, 1.5, 4])}, "atoms_4.xyz is unexpected"),
    ],
)
def test_broken_partition(tmp_path, changes, message):
    system = System()
    write_partition(system.write(tmp_path), system, **changes)
    with pytest.raises(ScanError, match=message):
        load_scans(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(ScanError, match="no such folder or archive"):
        load_scans(tmp_path / "absent")
    with pytest.raises(ScanError, match="no system found"):
        load_scans(tmp_path)
    (tmp_path / "notes.txt").write_text("not a tar")
    with pytest.raises(ScanError, match=r"notes\.txt: not a readable tar archive"):
        load_scans(tmp_path / "notes.txt")
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(ScanError, match=r"empty\.tar: no system found"):
        load_scans(tmp_path / "empty.tar")


def test_one_bond_folder_is_not_a_root(tmp_path):
    write_set(tmp_path)
    with pytest.raises(ScanError, match="no system found, expected <bond>/<system_id>"):
        load_scans(tmp_path / "C-N")


def test_two_sets_in_one_folder(tmp_path):
    write_set(tmp_path / "a")
    write_set(tmp_path / "b")
    with pytest.raises(ScanError, match=r"several folders \(a, b\)"):
        load_scans(tmp_path)


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"bonds": ["C-n"]}, "no bond type 'C-n' in C-C, C-N, O-P; closest is 'C-"),
        ({"bonds": ["P-O"]}, "closest is 'O-P'"),
        ({"bonds": ["C-C", "C-X"]}, "no bond type 'C-X'"),
        ({"bonds": []}, "no system left"),
        ({"limit": 0}, "limit is 0, expected a positive number"),
        ({"limit": -3}, "limit is -3"),
    ],
)
def test_selection_errors(tmp_path, keywords, message):
    write_set(tmp_path)
    with pytest.raises(ScanError, match=message):
        load_scans(tmp_path, **keywords)


def packed(files: dict[str, bytes], mode: str = "w") -> bytes:
    """An archive of one system."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"C-N/1/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture(scope="module")
def intact(tmp_path_factory) -> dict[str, bytes]:
    folder = System().write(tmp_path_factory.mktemp("intact"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def archive_path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mangled") / "scans.tar"


def mangled(content: bytes, kind: str, where: float, junk: bytes) -> bytes:
    i = int(where * len(content))
    return {
        "cut": content[:i],
        "insert": content[:i] + junk + content[i:],
        "replace": content[:i] + junk + content[i + len(junk) :],
        "repeat": content[:i] + content[i // 2 :],
        "junk": junk,
    }[kind]


damage = {
    "kind": st.sampled_from(["cut", "insert", "replace", "repeat", "junk"]),
    "where": st.floats(0, 1),
    "junk": st.binary(max_size=20)
    | st.text("0123456789.-+eE nainf\n\"=:{}[],'TFRS\t", max_size=12).map(str.encode),
}


def assert_read_or_scan_error(path: Path, content: bytes) -> None:
    """Damage may go unnoticed (a changed digit), but only a ScanError of one line may come of it."""
    path.write_bytes(content)
    try:
        scans = load_scans(path)
    except ScanError as error:
        assert "\n" not in str(error)
        assert str(path) in str(error)
        assert_left_out(path, str(error))
    else:
        assert len(scans) == 1


def assert_left_out(path: Path, reason: str) -> None:
    """The tolerant reading gives the same reason, unless nothing was found to read."""
    try:
        found = read_scans(path)
    except ScanError as error:
        assert str(error) == reason
    else:
        assert not found.scans and list(found.left_out.values()) == [reason]


@given(name=st.sampled_from(["atoms_0.xyz", "atoms_3.xyz", "partition.npz"]), **damage)
@settings(max_examples=200, deadline=None)
def test_mangled_files_give_scan_errors(intact, archive_path, name, kind, where, junk):
    files = intact | {name: mangled(intact[name], kind, where, junk)}
    assert_read_or_scan_error(archive_path, packed(files))


@given(mode=st.sampled_from(["w", "w:gz", "w:xz"]), **damage)
@settings(max_examples=100, deadline=None)
def test_mangled_archives_give_scan_errors(intact, archive_path, mode, kind, where, junk):
    assert_read_or_scan_error(archive_path, mangled(packed(intact, mode), kind, where, junk))
