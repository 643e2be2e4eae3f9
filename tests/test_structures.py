"""Reading structures: labels, formats and units survive."""

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
from structure_files import extxyz

from mlip_design.structures import Structure, StructureError, from_atoms, read_structures


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
