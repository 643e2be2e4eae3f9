"""Scans of angles, torsions and two molecules that approach: rigid sides, the coordinate as stated, the same record."""

import json
import warnings
from dataclasses import replace
from itertools import pairwise

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.data import covalent_radii
from conftest import build as potential
from scipy.spatial.distance import pdist
from test_build_scans import EMT_NAME

from mlip_design.bsct import ScanError, aggregate, load_scans, score_scan, zero_force_score
from mlip_design.bsct.building.kinds import KINDS
from mlip_design.bsct.coordinates import N_ATOMS, coordinate
from mlip_design.bsct.packing import pack, unpack
from mlip_design.bsct.runner import predict_scans, scan_batches
from mlip_design.cli import build_scans, main

N_FRAMES = 9
PAIRS = ("Au-Au", "Au-Cu", "Cu-Cu")
COMMON = ["--calculator", EMT_NAME, "--no-relax", "--frames", str(N_FRAMES)]


def rattled(name: str) -> ase.Atoms:
    atoms = molecule(name)
    atoms.rattle(0.03, seed=1)
    return atoms


def dimer() -> ase.Atoms:
    """Two water molecules."""
    atoms = rattled("H2O")
    other = rattled("H2O")
    other.positions += [0.1, 0.5, -2.9]
    atoms.extend(other)
    return atoms


def crystal() -> ase.Atoms:
    """A rattled alloy, whose closest atoms are neighbours across a face of the cell."""
    atoms = bulk("Cu", "fcc", a=3.8, cubic=True)
    atoms.symbols[2:] = "Au"
    atoms.rattle(0.1, seed=5)
    return atoms


STRUCTURES = {
    "angle": [rattled("CH3CH2OH"), rattled("C3H6_D3h"), molecule("CO2")],
    "torsion": [rattled("trans-butane"), rattled("CH3CH2OH"), rattled("cyclobutane")],
    "approach": [dimer(), rattled("H2O")],
    "atom": [crystal(), bulk("Cu", "fcc", a=3.6), rattled("H2O")],
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder and record of each kind."""
    found = {}
    for kind, structures in STRUCTURES.items():
        root = tmp_path_factory.mktemp(kind)
        ase.io.write(root / "in.xyz", structures, format="extxyz")
        arguments = ["--structures", str(root / "in.xyz"), "--kind", kind, "--out", str(root / "out"), *COMMON]
        assert main(["build-scans", *arguments]) == 0
        found[kind] = root / "out", json.loads((root / "out" / "build.json").read_text())
    return found


def frames_of(folder) -> list[ase.Atoms]:
    return [ase.io.read(folder / f"atoms_{k}.xyz") for k in range(N_FRAMES)]


def degrees(atoms: ase.Atoms, chain: list[int]) -> float:
    """What ASE measures, independently."""
    return atoms.get_angle(*chain) if len(chain) == 3 else atoms.get_dihedral(*chain)


def test_the_command_line_knows_every_kind():
    assert set(KINDS) == set(N_ATOMS) == set(build_scans.KINDS)


@pytest.mark.parametrize(
    "kind, expected",
    [
        ("angle", ["angle_C-C-O/0000_0-1-2"]),
        ("torsion", ["torsion_C-C-C-C/0000"]),
        ("approach", ["approach_H-O/0000"]),
        ("atom", ["atom_Au-Au/0000", "atom_Au-Cu/0000", "atom_Cu-Cu/0000"]),
    ],
)
def test_what_is_scanned_has_its_own_names(built, kind, expected):
    out, record = built[kind]
    names = [scan.name for scan in load_scans(out)]
    assert list(record["systems"]) == names
    assert len(names) == len(expected)
    assert all(name.startswith(start) for name, start in zip(names, expected, strict=True))


def test_a_crystal_keeps_its_cell_and_one_atom_moves(built):
    out, _ = built["atom"]
    for scan in load_scans(out):
        assert np.array_equal(scan.cells, np.tile(crystal().cell[:], (N_FRAMES, 1, 1)))
        mover, neighbor = scan.bond_index
        relative = scan.positions - scan.positions[:, [neighbor]]
        moved = np.abs(relative - relative[0]).max(axis=(0, 2))
        assert moved[mover] > 0.1 and np.delete(moved, mover).max() < 1e-10
        radii = covalent_radii[scan.numbers[scan.bond_index]].sum()
        np.testing.assert_allclose(scan.lengths, np.linspace(0.6 * radii, 1.2 * radii, N_FRAMES))
        atoms = ase.Atoms(scan.numbers, scan.positions[4], cell=scan.cells[4], pbc=True, calculator=EMT())
        assert atoms.get_potential_energy() == pytest.approx(scan.energies[4], abs=1e-8)
        closest = crystal().get_all_distances(mic=True)[mover, neighbor]
        start = ase.io.read(out / scan.name / "unperturbed.xyz")
        assert start.get_distance(mover, neighbor) == pytest.approx(closest, abs=1e-7)


def test_crystals_survive_the_cache_and_a_choice_of_frames(built):
    molecules, crystals = (load_scans(built[kind][0]) for kind in ("angle", "atom"))
    again = unpack(pack([*molecules, *crystals]))
    for before, after in zip([*molecules, *crystals], again, strict=True):
        assert (before.cells is None) == (after.cells is None) == (before in molecules)
        assert before.cells is None or np.array_equal(before.cells, after.cells)
    assert crystals[0].frames(slice(0, None, 2)).cells.shape == (5, 3, 3)
    with pytest.raises(ScanError, match=r"cells has shape \(2, 3, 3\), expected \(9, 3, 3\)"):
        replace(crystals[0], cells=crystals[0].cells[:2])


def test_what_is_left_out_has_its_reason(built):
    reasons = {kind: {entry["reason"] for entry in record["left_out"]} for kind, (_, record) in built.items()}
    assert "straight: it has no plane" in reasons["angle"]
    assert "both arms in a ring: they cannot move apart" in reasons["angle"]
    assert "in a ring: it has no two sides" in reasons["torsion"]
    assert reasons["atom"] == {
        "one molecule; atom scans take a crystal",
        "an atom and its own image: take more cells",
    }
    assert reasons["approach"] == {"one molecule; approach scans take two molecules"}


@pytest.mark.parametrize("kind", STRUCTURES)
def test_two_rigid_sides_and_equally_spaced_coordinates(built, kind):
    out, _ = built[kind]
    for folder in (path.parent for path in out.glob("*/*/partition.npz")):
        start = ase.io.read(folder / "unperturbed.xyz")
        with np.load(folder / "partition.npz") as archive:
            part = dict(archive)
        atoms = part.get("atoms", part["bond_index"]).tolist()
        frames = frames_of(folder)
        for side in (0, 1):
            group = part["labels"] == side
            inner = [pdist(frame.positions[group]) - pdist(start.positions[group]) for frame in frames]
            assert np.abs(inner).max(initial=0.0) < 1e-10
        found = [coordinate(kind, frame.positions, atoms) for frame in frames]
        first, last, count = part["perturb_range"]
        np.testing.assert_allclose(found, np.linspace(first, last, int(count)), atol=1e-10)
        assert {*part["labels"][part["bond_index"]]} == {0, 1}
        if kind in ("angle", "torsion"):
            np.testing.assert_allclose(
                [degrees(frame, atoms) for frame in frames], np.linspace(*KINDS[kind].range, N_FRAMES), atol=1e-6
            )
            np.testing.assert_allclose(
                [frame.get_distance(*part["bond_index"]) for frame in frames],
                start.get_distance(*part["bond_index"]),
                atol=1e-10,
            )


def test_both_sides_turn_as_much(built):
    """Seen from the bond's first atom, about which they turn: the same angle, the other way."""
    out, _ = built["torsion"]
    folder = next(out.glob("*/*/partition.npz")).parent
    with np.load(folder / "partition.npz") as archive:
        part = dict(archive)
    frames, axis = frames_of(folder), part["unit_vec"]
    ends = {0: part["atoms"][0], 1: part["atoms"][3]}
    angles = {}
    for side, end in ends.items():
        arms = [frame.positions[end] - frame.positions[part["bond_index"][0]] for frame in frames]
        across = [arm - arm @ axis * axis for arm in arms]
        angles[side] = [np.degrees(np.arctan2(np.cross(a, b) @ axis, a @ b)) for a, b in pairwise(across)]
    np.testing.assert_allclose(angles[1], 356 / 8 / 2, atol=1e-8)
    np.testing.assert_allclose(angles[0], -356 / 8 / 2, atol=1e-8)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_a_frame_in_the_wrong_place_is_caught(built, kind, tmp_path):
    """Planted: two frames of a scan exchanged."""
    out, _ = built[kind]
    source = next(out.glob("*/*/partition.npz")).parent
    copy = tmp_path / source.parent.name / source.name
    copy.mkdir(parents=True)
    for path in source.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "atoms_2.xyz").write_bytes((source / "atoms_3.xyz").read_bytes())
    with pytest.raises(ScanError, match=rf"atoms_2.xyz: {kind} \[[\d ]+\] is [\d.]+ Å long, perturb_range gives"):
        load_scans(tmp_path)


def test_the_command_scores_crystals_and_the_calculator_itself_is_right(built, tmp_path):
    out, _ = built["atom"]
    assert main(["bsct", EMT_NAME, "--data", str(out), "--json", str(tmp_path / "result.json")]) == 0
    systems = json.loads((tmp_path / "result.json").read_text())["systems"]
    assert len(systems) == 3
    for system in systems.values():
        assert system["zero_full_forces_mae"] > 0.1
        assert max(system["full_forces_mae"], system["full_energy_mae"], system["full_smoothness"]) < 1e-7


def test_a_potential_is_scored_on_all_of_them_together(built):
    """As the callback does it in training."""
    scans = [scan for out, _ in built.values() for scan in load_scans(out)]
    model = potential()
    batches = scan_batches(scans, model.cutoff, 64, model.dtype)
    scores = {}
    for scan, (energies, forces) in zip(scans, predict_scans(model, scans, batches, "cpu"), strict=True):
        assert score_scan(scan, scan.energies, scan.forces)["full_smoothness"] == 0
        scores[scan.name] = {**score_scan(scan, energies, forces), **zero_force_score(scan)}
    summary = aggregate(scores, {scan.name: scan.bond for scan in scans})
    names = {"angle_C-C-O", "approach_H-O", "torsion_C-C-C-C", *(f"atom_{pair}" for pair in PAIRS)}
    assert set(summary.bond_mean) == names
    assert summary.nonfinite == ()
    assert all(score["full_smoothness"] > 0 for score in scores.values())


@pytest.mark.parametrize(
    "kind, ends, limit",
    [("angle", ("60", "180"), "< 180 (degrees)"), ("torsion", ("0", "300"), "< 360 (degrees)")],
)
def test_a_range_that_turns_over_is_refused(tmp_path, capsys, kind, ends, limit):
    ase.io.write(tmp_path / "in.xyz", rattled("H2O"))
    arguments = ["--structures", str(tmp_path / "in.xyz"), "--kind", kind, "--out", str(tmp_path / "out"), *COMMON]
    assert main(["build-scans", *arguments, "--range", *ends]) == 2
    assert f"expected 0 < first < last {limit}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_straight_angle_and_coincident_atoms_are_no_crash():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        line = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]])
        assert coordinate("angle", line, [0, 1, 2]) == pytest.approx(np.pi)
        assert coordinate("torsion", line, [0, 1, 2, 3]) == 0
