"""Reading bond scans: the published layout, archives of it, and every way it can be broken."""

import io
import os
import shutil
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design.bsct import Scan, ScanError, load_scans

HEADER = 'Properties=species:S:1:pos:R:3:forces:R:3 bond={bond} smiles="[C]#N" energy={energy} pbc="F F F"'


@dataclass
class System:
    """A three-atom molecule stretched along x, in the published layout."""

    bond: str = "C-N"
    system_id: str = "1"
    count: int = 5
    first: float = 0.7
    last: float = 1.5
    symbols: tuple[str, ...] = ("C", "N", "H")
    energies: list[float] = field(default_factory=lambda: [3.0, 1.0, 0.5, 1.5, 2.0])

    @property
    def lengths(self) -> np.ndarray:
        return np.linspace(self.first, self.last, self.count)

    def positions(self) -> np.ndarray:
        positions = np.zeros((self.count, 3, 3))
        positions[:, 1, 0] = self.lengths
        positions[:, 2, 1] = -1.1
        return positions

    def forces(self) -> np.ndarray:
        return np.round(np.sin(np.arange(self.count * 9.0)).reshape(self.count, 3, 3), 8)

    def write(self, root: Path) -> Path:
        folder = root / self.bond / self.system_id
        folder.mkdir(parents=True)
        for i, (positions, forces) in enumerate(zip(self.positions(), self.forces(), strict=True)):
            rows = [
                f"{symbol} " + " ".join(f"{x:.8f}" for x in (*p, *f))
                for symbol, p, f in zip(self.symbols, positions, forces, strict=True)
            ]
            header = HEADER.format(bond=self.bond, energy=self.energies[i])
            (folder / f"atoms_{i}.xyz").write_text("\n".join([str(len(rows)), header, *rows]) + "\n")
        shutil.copy(folder / "atoms_2.xyz", folder / "unperturbed.xyz")
        write_partition(folder, self)
        return folder


def write_partition(folder: Path, system: System, **changes) -> None:
    """`partition.npz` of a system, with values replaced, or left out where None is given."""
    values = {
        "bond": system.bond,
        "bond_index": np.array([0, 1]),
        "labels": np.array([0, 1, 0], dtype=np.int32),
        "unit_vec": np.array([1.0, 0.0, 0.0]),
        "perturb_range": np.array([system.first, system.last, system.count]),
        "rotation": "0x,0y,0z",
    } | changes
    np.savez(folder / "partition.npz", **{key: value for key, value in values.items() if value is not None})


def write_set(root: Path) -> Path:
    """Three bond types with 4, 2 and 1 systems."""
    for bond, ids in {"C-N": "1234", "C-C": "12", "O-P": "9"}.items():
        for system_id in ids:
            System(bond, system_id).write(root)
    return root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def same(one: Scan, other: Scan) -> bool:
    arrays = ("numbers", "lengths", "positions", "energies", "forces", "bond_index")
    return one.name == other.name and all(np.array_equal(getattr(one, a), getattr(other, a)) for a in arrays)


def test_reads_what_was_written(tmp_path):
    system = System()
    system.write(tmp_path)
    (scan,) = load_scans(tmp_path)
    assert (scan.bond, scan.system_id, scan.name) == ("C-N", "1", "C-N/1")
    assert scan.numbers.tolist() == [6, 7, 1]
    assert scan.numbers.dtype == scan.bond_index.dtype == np.int64
    assert scan.bond_index.tolist() == [0, 1]
    assert scan.equilibrium == 2
    np.testing.assert_array_equal(scan.lengths, system.lengths)
    np.testing.assert_array_equal(scan.energies, system.energies)
    np.testing.assert_allclose(scan.positions, system.positions(), atol=1e-8)
    np.testing.assert_array_equal(scan.forces, system.forces())
    assert {getattr(scan, a).dtype for a in ("lengths", "positions", "energies", "forces")} == {
        np.dtype("float64")
    }


def test_frames_in_order_of_number(tmp_path):
    """atoms_10.xyz comes after atoms_9.xyz, not after atoms_1.xyz."""
    system = System(count=12, energies=[float(i) for i in range(12)])
    system.write(tmp_path)
    assert load_scans(tmp_path)[0].energies.tolist() == system.energies


def test_nan_frames_are_dropped(tmp_path):
    system = System(energies=[3.0, float("nan"), 0.5, float("nan"), 2.0])
    system.write(tmp_path)
    (scan,) = load_scans(tmp_path)
    np.testing.assert_array_equal(scan.energies, [3.0, 0.5, 2.0])
    np.testing.assert_array_equal(scan.lengths, system.lengths[[0, 2, 4]])
    np.testing.assert_array_equal(scan.forces, system.forces()[[0, 2, 4]])
    assert scan.equilibrium == 1


def test_selection(tmp_path):
    write_set(tmp_path)

    def names(**keywords):
        return [scan.name for scan in load_scans(tmp_path, **keywords)]

    everything = ["C-C/1", "C-C/2", "C-N/1", "C-N/2", "C-N/3", "C-N/4", "O-P/9"]
    assert names() == names(limit=7) == names(limit=100) == everything
    assert names(bonds=["O-P", "C-C"]) == ["C-C/1", "C-C/2", "O-P/9"]
    assert names(bonds="O-P") == ["O-P/9"]
    assert names(limit=1) == ["C-C/1"]
    assert names(limit=3) == ["C-C/1", "C-N/1", "O-P/9"]
    assert names(limit=6) == ["C-C/1", "C-C/2", "C-N/1", "C-N/2", "C-N/3", "O-P/9"]
    assert names(limit=2, bonds=["C-N"]) == ["C-N/1", "C-N/2"]


def test_progress_bar_is_opt_in_and_for_terminals(tmp_path, capsys, monkeypatch):
    System().write(tmp_path)
    load_scans(tmp_path, progress=True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    load_scans(tmp_path)
    assert capsys.readouterr().err == ""
    load_scans(tmp_path, progress=True)
    assert "0/1" in capsys.readouterr().err


@pytest.mark.parametrize("name, mode", [("scans.tar.xz", "w:xz"), ("scans.tar", "w")])
@pytest.mark.parametrize("top", ["", "bsct", "./"])
def test_archive_equals_folder(tmp_path, name, mode, top):
    root = write_set(tmp_path / "scans")
    with tarfile.open(tmp_path / name, mode) as archive:
        for folder in sorted(root.iterdir()):
            archive.add(folder, f"{top}/{folder.name}" if top else folder.name)
    from_folder, from_archive = load_scans(root), load_scans(tmp_path / name)
    assert len(from_archive) == 7
    assert all(same(*pair) for pair in zip(from_folder, from_archive, strict=True))
    nested = load_scans(tmp_path)  # a folder, too, may hold the bond types below one top folder
    assert all(same(*pair) for pair in zip(from_folder, nested, strict=True))


def test_archive_errors_name_the_member(tmp_path):
    folder = System().write(tmp_path / "scans")
    (folder / "atoms_3.xyz").unlink()
    with tarfile.open(tmp_path / "scans.tar", "w") as archive:
        archive.add(tmp_path / "scans" / "C-N", "C-N")
    with pytest.raises(ScanError, match=r"scans\.tar:C-N/1: atoms_3\.xyz is missing"):
        load_scans(tmp_path / "scans.tar")


def test_archive_is_not_unpickled(tmp_path):
    """An object array would run code when it is read."""
    folder = System().write(tmp_path)
    write_partition(folder, System(), bond_index=np.array([0, 1], dtype=object))
    with pytest.raises(ScanError, match=r"partition\.npz: unreadable .*allow_pickle=False"):
        load_scans(tmp_path)


def truncate(path: Path, n_lines: int) -> None:
    path.write_text("\n".join(path.read_text().split("\n")[:n_lines]) + "\n")


def copy_frame(folder: Path, name: str) -> None:
    shutil.copy(folder / "atoms_0.xyz", folder / name)


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


def test_length_tolerance_covers_rounded_coordinates(tmp_path):
    """Positions rounded to 5 decimals are read; the length comes from perturb_range, not from them."""
    system = System(first=0.7, last=1.1)
    folder = system.write(tmp_path)
    edit(folder / "atoms_2.xyz", "0.90000000", "0.90001")
    assert load_scans(tmp_path)[0].lengths[2] == system.lengths[2]


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


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"lengths": [1.0, 1.0, 1.2]}, "strictly increasing"),
        ({"energies": [0.0, 1.0]}, r"C-N/1: energies has shape \(2,\), expected \(3,\)"),
        ({"forces": np.zeros((3, 2, 2))}, r"C-N/1: forces has shape \(3, 2, 2\), expected \(3, 2, 3\)"),
        ({"positions": np.full((3, 2, 3), np.inf)}, "positions must be finite"),
        ({"energies": [0.0, np.nan, 1.0]}, "energies must be finite"),
    ],
)
def test_scan_checks_itself(changes, message):
    values = {
        "numbers": [6, 7],
        "lengths": [1.0, 1.1, 1.2],
        "positions": np.zeros((3, 2, 3)),
        "energies": [1.0, 0.0, 1.0],
        "forces": np.zeros((3, 2, 3)),
        "bond_index": [0, 1],
    }
    Scan("C-N", "1", **values)
    with pytest.raises(ScanError, match=message):
        Scan("C-N", "1", **(values | changes))


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
    else:
        assert len(scans) == 1


@given(name=st.sampled_from(["atoms_0.xyz", "atoms_3.xyz", "partition.npz"]), **damage)
@settings(max_examples=200, deadline=None)
def test_mangled_files_give_scan_errors(intact, archive_path, name, kind, where, junk):
    files = intact | {name: mangled(intact[name], kind, where, junk)}
    assert_read_or_scan_error(archive_path, packed(files))


@given(mode=st.sampled_from(["w", "w:gz", "w:xz"]), **damage)
@settings(max_examples=100, deadline=None)
def test_mangled_archives_give_scan_errors(intact, archive_path, mode, kind, where, junk):
    assert_read_or_scan_error(archive_path, mangled(packed(intact, mode), kind, where, junk))


@pytest.fixture(scope="module")
def real_root() -> Path:
    folder = os.environ.get("MLIP_DESIGN_DATA")
    if not folder or not (Path(folder) / "bsct_spice").is_dir():
        pytest.skip("MLIP_DESIGN_DATA names no folder that contains bsct_spice/")
    return Path(folder) / "bsct_spice"


def test_real_scans(real_root):
    """Lengths from perturb_range agree with the positions to the rounding of 8 decimals."""
    scans = load_scans(real_root, limit=9)
    assert len({scan.bond for scan in scans}) == 9
    for scan in scans:
        pairs = scan.positions[:, scan.bond_index]
        distances = np.linalg.norm(pairs[:, 0] - pairs[:, 1], axis=1)
        np.testing.assert_allclose(distances, scan.lengths, rtol=0, atol=2e-8)
        assert 0 < scan.equilibrium < len(scan.lengths) - 1


def test_real_scan_with_nan_frames(real_root, tmp_path):
    shutil.copytree(real_root / "C-N" / "25729", tmp_path / "C-N" / "25729")
    (scan,) = load_scans(tmp_path)
    assert scan.energies.shape == (98,)
    assert np.argmax(np.diff(scan.lengths)) == 8  # frames 9 and 10 are missing
