"""Scans of a user's own molecules: the published layout, rigid sides, the calculator's labels, reasons for the rest."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.data import covalent_radii
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from mlip_design.bsct import load_scans
from mlip_design.bsct.building.bonds import find_bonds, pieces, sides
from mlip_design.bsct.building.recipe import bond_types
from mlip_design.cli import main

EMT_NAME = "ase.calculators.emt:EMT"
N_FRAMES, RANGE = 7, (0.6, 1.8)
QUICK = ["--no-relax", "--frames", str(N_FRAMES), "--range", *map(str, RANGE)]


def write(path: Path, *names: str) -> str:
    """A file of rattled molecules of ASE's collection."""
    frames = [molecule(name) for name in names]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.03, seed=seed)
    ase.io.write(path, frames, format="extxyz")
    return str(path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Ethanol and cyclopropane, bonds to hydrogen too: folder and record."""
    root = tmp_path_factory.mktemp("built")
    structures = write(root / "two.xyz", "CH3CH2OH", "C3H6_D3h")
    arguments = ["--structures", structures, "--calculator", EMT_NAME, "--out", str(root / "out"), *QUICK]
    record = root / "record.json"
    assert main(["build-scans", *arguments, "--bonds", "all", "--json", str(record)]) == 0
    return root / "out", json.loads(record.read_text())


def systems(out: Path):
    """Frames, start and partition of every system, by name."""
    for folder in sorted(path.parent for path in out.glob("*/*/partition.npz")):
        frames = [ase.io.read(folder / f"atoms_{k}.xyz") for k in range(N_FRAMES)]
        with np.load(folder / "partition.npz") as archive:
            part = dict(archive)
        yield f"{folder.parent.name}/{folder.name}", frames, ase.io.read(folder / "unperturbed.xyz"), part


def test_every_bond_outside_rings_is_scanned(built):
    out, record = built
    scans = load_scans(out)
    assert sorted(record["systems"]) == [scan.name for scan in scans]
    kinds = [scan.bond for scan in scans]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"C-C": 1, "C-O": 1, "H-O": 1, "C-H": 11}
    rings = [entry for entry in record["left_out"] if "ring" in entry["reason"]]
    assert [entry["group"] for entry in rings] == ["C-C"] * 3
    assert all(entry["source"].endswith("two.xyz:1") for entry in rings)
    assert json.loads((out / "build.json").read_text()) == record


def test_the_layout_is_the_published_one(built):
    for name, frames, start, part in systems(built[0]):
        i, j = part["bond_index"]
        assert len(list((built[0] / name).iterdir())) == N_FRAMES + 2
        assert set(part) == {"bond", "bond_index", "labels", "perturb_range", "rotation", "unit_vec"}
        assert str(part["bond"]) == name.partition("/")[0] == "-".join(sorted(start.symbols[[i, j]]))
        assert name.endswith(f"_{i}-{j}")
        assert (part["labels"][i], part["labels"][j], part["labels"].dtype) == (0, 1, np.int32)
        vector = start.positions[j] - start.positions[i]
        np.testing.assert_allclose(part["unit_vec"], vector / np.linalg.norm(vector), atol=1e-10)
        turns = [float(turn[:-1]) for turn in str(part["rotation"]).split(",")]
        turned = Rotation.from_euler("xyz", turns, degrees=True).apply(part["unit_vec"])
        np.testing.assert_allclose(turned, [1, 0, 0], atol=1e-3)
        radii = covalent_radii[start.numbers[[i, j]]].sum()
        np.testing.assert_allclose(part["perturb_range"], [RANGE[0] * radii, RANGE[1] * radii, N_FRAMES])
        assert {frame.info["id"] for frame in frames} == {name.partition("/")[2]}


def motion_errors(frames, start, part) -> tuple[float, float, float]:
    """Å: largest change of a distance within a side, deviation of a bond length, deviation from equal moves."""
    i, j = part["bond_index"]
    groups = [np.flatnonzero(part["labels"] == side) for side in (0, 1)]
    inner = [
        np.abs(pdist(frame.positions[group]) - pdist(start.positions[group])).max(initial=0.0)
        for frame in frames
        for group in groups
    ]
    lengths = [frame.get_distance(i, j) for frame in frames]
    moves = [frame.positions - start.positions for frame in frames]
    unequal = [np.abs(move[i] + move[j]).max() for move in moves]
    return max(inner), np.abs(lengths - np.linspace(*part["perturb_range"][:2], N_FRAMES)).max(), max(unequal)


def test_two_rigid_sides_move_by_equal_amounts(built):
    for name, *system in systems(built[0]):
        assert max(motion_errors(*system)) < 1e-10, name


@pytest.mark.parametrize("error", range(3))
def test_a_wrong_motion_would_be_seen(built, error):
    """The measures themselves: an atom displaced, both sides stretched too far, one side moved alone."""
    _, frames, start, part = next(systems(built[0]))
    frame = frames[3]
    if error == 0:
        frame.positions[np.setdiff1d(np.arange(len(frame)), part["bond_index"])[0]] += 1e-8
    elif error == 1:
        frame.positions += np.where(part["labels"] == 1, 1e-8, -1e-8)[:, None] * part["unit_vec"]
    else:
        frame.positions += 1e-8 * part["unit_vec"]
    assert motion_errors(frames, start, part)[error] > 1e-9


def test_labels_are_those_of_the_calculator_at_the_stored_positions(built):
    for _, frames, start, _ in systems(built[0]):
        for frame in [*frames, start]:
            atoms = frame.copy()
            atoms.calc = EMT()
            assert frame.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
            np.testing.assert_allclose(frame.get_forces(), atoms.get_forces(), rtol=0, atol=1e-8)


@st.composite
def trees(draw):
    """A random tree of atoms, numbered at random, as bonds."""
    n_atoms = draw(st.integers(2, 30))
    names = draw(st.permutations(range(n_atoms)))
    parents = [draw(st.integers(0, child - 1)) for child in range(1, n_atoms)]
    return n_atoms, [(names[parent], names[child]) for child, parent in enumerate(parents, start=1)]


@settings(deadline=None)
@given(trees(), st.data())
def test_every_bond_of_a_tree_has_two_sides(tree, data):
    n_atoms, bonds = tree
    bond = data.draw(st.sampled_from(bonds))
    labels = sides(n_atoms, bonds, bond)
    assert (labels[bond[0]], labels[bond[1]]) == (0, 1)
    assert [pair for pair in bonds if labels[pair[0]] != labels[pair[1]]] == [bond]
    for side in (0, 1):
        inner = [pair for pair in bonds if labels[pair[0]] == labels[pair[1]] == side]
        assert len(inner) == (labels == side).sum() - 1  # with as many bonds a side is in one piece
    assert sides(n_atoms, bonds, bond[::-1]).tolist() == (1 - labels).tolist()


@settings(deadline=None)
@given(trees(), st.data())
def test_a_bond_that_closes_a_ring_has_none(tree, data):
    n_atoms, bonds = tree
    extra = data.draw(st.tuples(st.integers(0, n_atoms - 1), st.integers(0, n_atoms - 1)))
    if extra[0] == extra[1] or {*extra} in map(set, bonds):
        return
    assert sides(n_atoms, [*bonds, extra], extra) is None
    cut = data.draw(st.sampled_from(bonds))
    if (labels := sides(n_atoms, [*bonds, extra], cut)) is not None:
        assert labels[extra[0]] == labels[extra[1]]


def test_bonds_go_by_the_stated_factor():
    water = molecule("H2O")
    factor = water.get_distance(0, 1) / covalent_radii[[8, 1]].sum()
    assert find_bonds(water.numbers, water.positions, factor + 1e-6) == [(0, 1), (0, 2)]
    assert find_bonds(water.numbers, water.positions, factor - 1e-6) == []
    assert pieces(3, []).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "text, expected",
    [("heavy", ("heavy",)), ("N-C,C-C", ("C-C", "C-N")), ("all", ("all",)), ("Cl-C", ("C-Cl",))],
)
def test_choices_of_bonds(text, expected):
    assert bond_types(text) == expected


@pytest.mark.parametrize(
    "text, closest",
    [("C-Nn", "C-N"), ("c-n", "C-N"), ("C", "C"), ("hevy", "heavy"), ("C-N-O", "C-N-O")],
)
def test_wrong_choices_of_bonds(text, closest):
    with pytest.raises(ValueError, match=rf"not a bond type such as C-N, nor heavy or all; closest: {closest}$"):
        bond_types(text)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--range", "2", "0.5"], "--range: 2 0.5, expected 0 < first < last"),
        (["--range", "0", "2"], "--range: 0 2, expected 0 < first < last"),
        (["--frames", "1"], "--frames: 1, expected at least 2"),
        (["--radii-factor", "0.5"], "--radii-factor: 0.5, expected more than 1"),
        (["--bonds", "C-Xx"], "'C-Xx' is not a bond type"),
        (["--structures", "nothing.xyz"], "nothing.xyz: no such file"),
        (["--structures", "empty.xyz"], "empty.xyz, frame 0: cannot be read as a structure"),
        (["--calculator", "ase.calculators.emt:EMMT"], "EMMT: cannot be imported as module:callable"),
        (["--calculator", "build_calculators:Failing", "--calculator-args", "longest=1"], "cannot be made with"),
        (["--calculator-args", "wrong"], "'wrong' is not of the form key=value"),
        (["--calculator", "no_run_folder"], "no_run_folder"),
        (["--smiles", "C(("], "--smiles: 'C((' is not a valid SMILES"),
        (["--smiles", ""], "--smiles: '' is not a valid SMILES"),
        (["--kind", "bnd"], "'bnd'"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, monkeypatch, capfd, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("empty.xyz").touch()
    given = [] if "--smiles" in arguments else ["--structures", write(tmp_path / "one.xyz", "CH3OH")]
    out = tmp_path / "out"
    assert main(["build-scans", *given, "--calculator", EMT_NAME, "--out", str(out), *QUICK, *arguments]) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and message in error
    assert not out.exists()


def test_a_folder_of_something_else_is_not_touched(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    arguments = ["--structures", write(tmp_path / "one.xyz", "CH3OH"), "--calculator", EMT_NAME, *QUICK]
    assert main(["build-scans", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert "holds files but no build.json" in capsys.readouterr().err
    (tmp_path / "out" / "build.json").write_text("[]")
    assert main(["build-scans", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert "build.json: not the record of a build" in capsys.readouterr().err
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "change",
    [["--frames", "8"], ["--bonds", "C-O"], ["--radii-factor", "1.25"], ["--relax"], ["--range", "0.6", "1.7"]],
    ids=" ".join,
)
def test_other_settings_in_the_same_folder_are_refused(built, capsys, change):
    out, _ = built
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*")}
    structures = str(out.parent / "two.xyz")
    arguments = ["--structures", structures, "--calculator", EMT_NAME, "--out", str(out), *QUICK]
    assert main(["build-scans", *arguments, "--bonds", "all", *change]) == 2
    assert "was begun with" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.*")} == before
