"""Scans of the volume of crystals: what is written, and the stress against the energy."""

import json
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import volume_scans
from ase.calculators.emt import EMT
from scan_files import edit
from volume_scans import ALLOY, COPPER, N_FRAMES, atoms_of, command

from mlip_design.bsct import ScanError, read_scans
from mlip_design.bsct.packing import pack, unpack
from mlip_design.cli import main


@pytest.fixture(scope="module")
def built() -> Path:
    """Folder of the build."""
    return volume_scans.built()


@pytest.fixture(scope="module")
def scans() -> dict:
    """By name."""
    return volume_scans.scans()


def test_what_is_scanned_and_what_is_left_out(built, scans):
    assert set(scans) == {COPPER, ALLOY}
    (entry,) = json.loads((built / "build.json").read_text())["left_out"]
    assert entry["reason"] == "one molecule; volume scans take a crystal"


def test_the_cell_is_scaled_alike_and_fractional_positions_stay(built, scans):
    for name, scan in scans.items():
        start = ase.io.read(built / name / "unperturbed.xyz")
        volumes = np.abs(np.linalg.det(scan.cells))
        assert volumes[[0, -1]] / start.get_volume() == pytest.approx([0.8, 1.3], rel=1e-9)
        np.testing.assert_allclose(scan.lengths, np.cbrt(volumes / len(start)), rtol=0, atol=1e-10)
        np.testing.assert_allclose(np.diff(scan.lengths), np.ptp(scan.lengths) / (N_FRAMES - 1), rtol=1e-9)
        for frame in range(N_FRAMES):
            atoms = atoms_of(scan, frame)
            factor = scan.lengths[frame] / np.cbrt(start.get_volume() / len(start))
            np.testing.assert_allclose(atoms.cell, factor * start.cell, rtol=0, atol=1e-10)
            apart = atoms.get_scaled_positions(wrap=False) - start.get_scaled_positions(wrap=False)
            assert np.abs(apart).max() < 1e-10


def energy(atoms: ase.Atoms, volume: float) -> float:
    """eV, of a crystal scaled alike in all directions to a volume (Å^3)."""
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell * np.cbrt(volume / atoms.get_volume()), scale_atoms=True)
    atoms.calc = EMT()
    return atoms.get_potential_energy()


def test_the_stress_is_the_change_of_energy_with_volume(scans):
    """p = -dE/dV by differences of fourth order of the energy alone; the other sign is far off."""
    for scan in scans.values():
        for frame in (0, 3, N_FRAMES - 1):
            atoms = atoms_of(scan, frame)
            volume, step = atoms.get_volume(), 0.01
            far_back, back, front, far_front = (energy(atoms, volume + k * step) for k in (-2, -1, 1, 2))
            pressure = -(8 * (front - back) - (far_front - far_back)) / (12 * step)
            found = -np.trace(scan.stresses[frame]) / 3
            assert found == pytest.approx(pressure, abs=1e-7)
            assert abs(-found - pressure) > 1e-3


def test_labels_are_in_the_file_as_ase_writes_them(built, scans):
    for name, scan in scans.items():
        atoms = ase.io.read(built / name / "atoms_2.xyz")
        np.testing.assert_allclose(atoms.get_stress(voigt=False), scan.stresses[2], rtol=0, atol=1e-15)
        fresh = atoms_of(scan, 2, EMT())
        np.testing.assert_allclose(scan.stresses[2], fresh.get_stress(voigt=False), rtol=0, atol=1e-11)
        np.testing.assert_allclose(scan.forces[2], fresh.get_forces(), rtol=0, atol=1e-7)


def test_stresses_survive_the_cache_and_a_choice_of_frames(built, scans):
    again = {scan.name: scan for scan in unpack(pack(list(scans.values())))}
    for name, scan in scans.items():
        assert np.array_equal(again[name].stresses, scan.stresses)
    assert scans[ALLOY].frames(slice(0, None, 2)).stresses.shape == (6, 3, 3)
    without = replace(scans[ALLOY], stresses=None)
    assert [scan.stresses is None for scan in unpack(pack([without, scans[COPPER]]))] == [True, False]
    with pytest.raises(ScanError, match=r"stresses has shape \(2, 3, 3\), expected \(11, 3, 3\)"):
        replace(scans[COPPER], stresses=scans[COPPER].stresses[:2])


def test_a_level_of_theory_without_stress_is_refused(tmp_path, capsys):
    assert main(command(tmp_path / "out", "build_calculators:Stressless")) == 2
    error = capsys.readouterr().err
    assert (
        error
        == "error: --calculator: build_calculators:Stressless gives no stress, with which volume scans are labelled\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_stress_that_is_not_finite_is_no_label(tmp_path):
    arguments = ["--calculator-args", "factor='nan'"]
    assert main(command(tmp_path / "out", "build_calculators:Stressed", *arguments)) == 1
    reasons = [entry["reason"] for entry in json.loads((tmp_path / "out" / "build.json").read_text())["left_out"]]
    assert reasons.count("energy, forces or stress are not finite") == 2


@pytest.mark.parametrize(
    "old, new, message",
    [
        (' stress="', ' strain="', "atoms_4.xyz: no stress or not finite, expected stress="),
        (' stress="-0.', ' stress="-1e999', "atoms_4.xyz: no stress or not finite, expected stress="),
        ('pbc="T T T"', 'pbc="T T F"', "expected a crystal, periodic along a, b and c"),
        ('Lattice="0.00', 'Lattice="0.01', "atoms_4.xyz: the cube root of its volume an atom is"),
    ],
)
def test_broken_frames_are_named(built, tmp_path, old, new, message):
    copy = tmp_path / COPPER
    copy.mkdir(parents=True)
    for path in (built / COPPER).iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert read_scans(tmp_path).left_out == {}
    edit(copy / "atoms_4.xyz", old, new)
    (reason,) = read_scans(tmp_path).left_out.values()
    assert message in reason
