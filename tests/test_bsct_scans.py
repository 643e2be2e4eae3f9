"""Reading bond scans: the published layout, archives of it, real ones."""

import os
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from scan_files import System, edit, same, write_partition, write_set

from mlip_design.bsct import Scan, ScanError, load_scans


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


def test_length_tolerance_covers_rounded_coordinates(tmp_path):
    """Positions rounded to 5 decimals are read; the length comes from perturb_range, not from them."""
    system = System(first=0.7, last=1.1)
    folder = system.write(tmp_path)
    edit(folder / "atoms_2.xyz", "0.90000000", "0.90001")
    assert load_scans(tmp_path)[0].lengths[2] == system.lengths[2]


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
