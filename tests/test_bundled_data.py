"""The bundled set keeps its promises: counts, disjoint molecules, physics, labels that can be made again."""

import io
import lzma
import re
import shutil
import subprocess
import sys
import tarfile
from collections import Counter

import numpy as np
import pytest
from ase.data import covalent_radii
from ase.io import read

from mlip_design.cli import main
from mlip_design.data.bundled import ROOT, bundled_path, manifest

ELEMENTS = {"H", "C", "N", "O", "F", "P", "S", "Cl"}
BOND_TYPES = {"C-C", "C-N", "C-O", "C-P", "C-S", "N-N", "N-O", "N-P", "O-P"}
SETS = ("train", "val_known", "test_known", "val_new", "test_new")


def frames_of(path):
    """ASE seeks for every frame, which is slow in a compressed file: unpack it first."""
    return read(io.StringIO(lzma.open(path, "rt").read()), ":", format="extxyz")


@pytest.fixture(scope="module")
def sets():
    """All frames of the five sets, as ASE reads them."""
    return {name: frames_of(bundled_path(f"{name}.xyz.xz")) for name in SETS}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """(folder, frames, unperturbed structure, partition) of each scan, by archive."""
    found = {}
    for name in ("scans_val", "scans_test"):
        root = tmp_path_factory.mktemp(name)
        with tarfile.open(bundled_path(f"{name}.tar.xz")) as archive:
            archive.extractall(root, filter="data")
        folders = sorted(root.glob("*/*"))
        found[name] = [
            (
                folder,
                [read(folder / f"atoms_{k}.xyz") for k in range(100)],
                read(folder / "unperturbed.xyz"),
                dict(np.load(folder / "partition.npz")),
            )
            for folder in folders
        ]
    return found


def molecules(frames):
    return {atoms.info["smiles"] for atoms in frames}


def test_small_and_as_listed(sets, scans):
    assert sum(path.stat().st_size for path in ROOT.iterdir()) < 3e6
    listed = manifest()
    assert {path.name for path in ROOT.iterdir()} == set(listed["files"]) | {"manifest.json"}
    for name, frames in sets.items():
        assert len(frames) == listed["frames"][name]
        assert molecules(frames) == set(listed["molecules"][name])
    for name, group in scans.items():
        assert 100 * len(group) == listed["frames"][name]
        assert {start.info["smiles"] for _, _, start, _ in group} == set(listed["molecules"][name])


def test_enough_molecules_and_frames(sets):
    assert len(molecules(sets["train"])) >= 60
    assert len(sets["train"]) >= 5000
    for name in SETS[1:]:
        assert len(sets[name]) >= 250


def test_every_element_and_kind_of_frame(sets):
    kinds = {"relaxed", "md_300K", "md_600K", "md_1000K", "md_1500K", "bond_scan", "bond_scan_md"}
    elements = Counter(symbol for atoms in sets["train"] for symbol in set(atoms.symbols))
    assert set(elements) == ELEMENTS
    assert min(elements.values()) >= 300
    for name in ("train", "val_new", "test_new"):
        assert set().union(*(set(atoms.symbols) for atoms in sets[name])) == ELEMENTS
        assert {atoms.info["config_type"] for atoms in sets[name]} == kinds
    for name in ("val_known", "test_known"):
        assert {atoms.info["config_type"] for atoms in sets[name]} == kinds - {"relaxed"}


def test_splits_share_no_molecule(sets, scans):
    groups = [molecules(sets[name]) for name in ("train", "val_new", "test_new")]
    groups += [{start.info["smiles"] for _, _, start, _ in group} for group in scans.values()]
    assert len(set().union(*groups)) == sum(map(len, groups))
    assert molecules(sets["val_known"]) | molecules(sets["test_known"]) <= groups[0]


def test_smiles_are_canonical_and_fit_the_atoms(sets, scans):
    Chem = pytest.importorskip("rdkit.Chem", reason="RDKit is not installed (extra xtb)")
    starts = [start for group in scans.values() for _, _, start, _ in group]
    for atoms in {atoms.info["smiles"]: atoms for frames in [*sets.values(), starts] for atoms in frames}.values():
        mol = Chem.AddHs(Chem.MolFromSmiles(atoms.info["smiles"]))
        assert [atom.GetAtomicNum() for atom in mol.GetAtoms()] == atoms.numbers.tolist()
        assert Chem.MolToSmiles(Chem.RemoveHs(mol), isomericSmiles=False) == atoms.info["smiles"]


def test_known_frames_are_new_frames(sets):
    fingerprints = [
        (atoms.info["smiles"], atoms.positions.tobytes())
        for name in ("train", "val_known", "test_known")
        for atoms in sets[name]
    ]
    assert len(set(fingerprints)) == len(fingerprints)


def test_labels_are_physical(sets):
    for frames in sets.values():
        for atoms in frames:
            forces = atoms.get_forces()
            assert np.isfinite(atoms.get_potential_energy())
            assert np.abs(forces).max() <= 60
            # Stored forces are rounded to 1e-4 eV/Å; the calculation conserves momentum to better than that.
            assert np.abs(forces.sum(axis=0)).max() < 1e-4 * len(atoms)
            if atoms.info["config_type"] == "relaxed":
                assert np.abs(forces).max() < 0.02


def test_relaxed_frame_is_the_lowest_of_its_molecule(sets):
    lowest = {
        a.info["smiles"]: a.get_potential_energy() for a in sets["train"] if a.info["config_type"] == "relaxed"
    }
    near = [a for a in sets["train"] if a.info["config_type"] == "md_300K" and a.info["smiles"] in lowest]
    above = [a.get_potential_energy() - lowest[a.info["smiles"]] for a in near]
    # Another conformer may lie a little lower. Equipartition puts the mean near (3 N - 6) kT / 2, 0.25 eV.
    assert min(above) > -0.3
    assert 0.1 < np.mean(above) < 0.5


def test_scans_cover_the_bond_types_evenly(scans):
    for name, each in (("scans_val", 3), ("scans_test", 2)):
        kinds = Counter(folder.parent.name for folder, *_ in scans[name])
        assert kinds == dict.fromkeys(BOND_TYPES, each)
    identifiers = [folder.name for group in scans.values() for folder, *_ in group]
    assert len(set(identifiers)) == len(identifiers)


def test_scan_layout_is_the_published_one(scans):
    for folder, frames, start, part in scans["scans_val"] + scans["scans_test"]:
        assert len(list(folder.iterdir())) == 102
        i, j = part["bond_index"]
        assert str(part["bond"]) == folder.parent.name == "-".join(sorted(start.symbols[[i, j]]))
        assert part["labels"].shape == (len(start),)
        assert {part["labels"][i], part["labels"][j]} == {0, 1}
        bond = start.positions[j] - start.positions[i]
        sign = 1 if part["labels"][j] == 1 else -1
        np.testing.assert_allclose(part["unit_vec"], sign * bond / np.linalg.norm(bond), atol=1e-8)
        turns = np.array([float(turn[:-1]) for turn in str(part["rotation"]).split(",")])
        assert re.fullmatch(r"\S+x,\S+y,\S+z", str(part["rotation"]))
        np.testing.assert_allclose(rotate(bond, turns) / np.linalg.norm(bond), [1, 0, 0], atol=1e-3)
        radii = covalent_radii[start.numbers[[i, j]]].sum()
        np.testing.assert_allclose(part["perturb_range"], [0.5 * radii, 2 * radii, 100])
        assert all(np.isfinite(atoms.get_potential_energy()) for atoms in frames)


def rotate(vector, degrees):
    """Turn about the fixed axes x, then y, then z."""
    for axis, angle in enumerate(np.deg2rad(degrees)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turned = vector.copy()
        turned[a] = np.cos(angle) * vector[a] - np.sin(angle) * vector[b]
        turned[b] = np.sin(angle) * vector[a] + np.cos(angle) * vector[b]
        vector = turned
    return vector


def test_scan_moves_two_rigid_fragments_by_equal_amounts(scans):
    for _, frames, start, part in scans["scans_val"] + scans["scans_test"]:
        i, j = part["bond_index"]
        lengths = [atoms.get_distance(i, j) for atoms in frames]
        np.testing.assert_allclose(lengths, np.linspace(*part["perturb_range"][:2], 100), atol=3e-5)
        moves = np.array([atoms.positions - start.positions for atoms in frames])
        sides = np.where(part["labels"] == 1, 1, -1)[:, None]
        # The same step for every atom of a side, the opposite one for the other side: files hold 1e-5 Å.
        np.testing.assert_allclose(moves, sides * moves[:, [j]] * sides[j], atol=1e-8)
        np.testing.assert_allclose(np.cross(moves[:, j], part["unit_vec"]), 0, atol=2e-5)


def test_scan_forces_are_the_slope_of_the_energy(scans):
    """Energy differences along the bond agree with the forces on the two sides."""
    errors = []
    for _, frames, _, part in scans["scans_val"]:
        energies = np.array([atoms.get_potential_energy() for atoms in frames])
        half = np.where(part["labels"] == 1, 0.5, -0.5)
        slope = -np.array([half @ atoms.get_forces() @ part["unit_vec"] for atoms in frames])
        length = np.linspace(*part["perturb_range"][:2], 100)
        near = slice(30, 99)
        errors.append(np.median(np.abs(np.gradient(energies, length) - slope)[near]))
    assert np.max(errors) < 0.05


def test_labels_can_be_made_again(sets, scans, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # more threads slow such small molecules down
    tblite = pytest.importorskip("tblite.ase", reason="tblite is not installed (extra xtb)")
    label = manifest()["label"]
    rng = np.random.default_rng(0)
    frames = [frames[rng.integers(len(frames))] for frames in sets.values() for _ in range(4)]
    frames += [scans["scans_test"][k][1][10 * k] for k in range(9)]
    for atoms in frames:
        again = atoms.copy()
        again.calc = tblite.TBLite(**label)
        assert again.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=2e-6)
        np.testing.assert_allclose(again.get_forces(), atoms.get_forces(), atol=2e-4)


@pytest.mark.parametrize("fault", ["corrupted", "missing"])
def test_faulty_file_is_named(tmp_path, fault):
    for name in ("manifest.json", "val_new.xyz.xz"):
        shutil.copy(ROOT / name, tmp_path)
    path = tmp_path / "val_new.xyz.xz"
    if fault == "corrupted":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    else:
        path.unlink()
    with pytest.raises(ValueError, match=rf"val_new\.xyz\.xz is {fault}.*make-bundled"):
        bundled_path("val_new.xyz.xz", tmp_path)


def test_unknown_and_unlisted_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"'trane'.*train\.xyz\.xz"):
        bundled_path("trane")
    with pytest.raises(ValueError, match=r"manifest\.json is missing"):
        bundled_path("train.xyz.xz", tmp_path)


def test_generation_end_to_end_and_again(tmp_path):
    pytest.importorskip("tblite.ase", reason="tblite is not installed (extra xtb)")
    pytest.importorskip("rdkit", reason="RDKit is not installed (extra xtb)")
    from mlip_design.data.make_bundled import Plan, make_bundled

    plan = Plan(
        train_molecules=1,
        new_molecules=1,
        train_thermal={300: 2},
        train_bond=3,
        new_thermal={600: 1},
        new_bond=2,
        bond_types=("C-O",),
        scans_val=1,
        scans_test=0,
        scans_spare=0,
    )
    smiles = ["CO", "O", "N", "C#N"]
    first = make_bundled(tmp_path / "first", tmp_path / "work", plan, 1, smiles)
    again = make_bundled(tmp_path / "again", tmp_path / "other_work", plan, 1, smiles)
    assert first == again
    assert first["molecules"]["scans_val"] == ["CO"]
    frames = frames_of(bundled_path("train.xyz.xz", tmp_path / "first"))
    assert len(frames) == first["frames"]["train"]
    assert {atoms.info["smiles"] for atoms in frames} == set(first["molecules"]["train"])
    with pytest.raises(ValueError, match="not empty"):
        make_bundled(tmp_path / "first", tmp_path / "work", plan, 1, smiles)


def test_command_line_reports_bad_input_in_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    pytest.importorskip("tblite", reason="tblite is not installed (extra xtb)")
    assert main(["data", "make-bundled", "--out", str(tmp_path)]) == 2
    assert main(["data", "make-bundled", "--jobs", "0"]) == 2
    assert main(["data", "nothing"]) == 2
    monkeypatch.setitem(sys.modules, "tblite", None)
    assert main(["data", "make-bundled", "--out", str(tmp_path / "new")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("error: ") for line in lines)
    assert "pip install 'mlip-design[xtb]'" in lines[-1]


def test_help_is_quick():
    """The heavy libraries are imported by the commands that use them, never for `--help`."""
    code = "import sys; sys.argv = ['mlip-design', '--help']; import runpy\n"
    code += "try: runpy.run_module('mlip_design', run_name='__main__')\n"
    code += "except SystemExit as stop: code = stop.code\n"
    code += "sys.exit(code or sorted({'numpy', 'torch', 'ase', 'rdkit'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "make-bundled" in done.stdout or "data sets" in done.stdout
