"""`mlip-design data info`: what was planted in a data set is found and named, and nothing else is."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from conftest import crystal, ethanol, skewed, slab
from data_files import waters as near_waters
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mlip_design import cli
from mlip_design.data.formats.contract import Labels
from mlip_design.data.prepare import prepare
from mlip_design.data.survey.fingerprint import fingerprint
from mlip_design.data.survey.info import info
from mlip_design.structures import Structure, from_atoms

waters = partial(near_waters, sigma=0.3)
"""Too far apart for their random forces to be compared with their energies."""

STRUCTURES = {"ethanol": ethanol, "crystal": crystal, "skewed": skewed, "slab": slab}


def surveyed(images: list[Atoms], folder: Path) -> dict:
    """What is said of a file of these frames."""
    ase.io.write(folder / "x.extxyz", images, format="extxyz")
    return info([folder / "x.extxyz"], Labels(), progress=False)


def suspicions(images: list[Atoms], folder: Path) -> dict[str, int]:
    """What looks wrong in these frames, and how often."""
    return {found["what"]: found["count"] for found in surveyed(images, folder)["suspicious"]}


def frames_named(examples: list) -> list[int]:
    """Frame numbers of examples (name, value)."""
    return [int(name.rpartition("frame ")[2]) for name, _ in examples]


def trajectory(count: int = 30, factor_energy: float = 1.0, factor_forces: float = 1.0) -> list[Atoms]:
    """Small steps of a copper cluster under EMT, whose forces are the derivative of its energy."""
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True).repeat(2)
    atoms.pbc = False
    atoms.calc = EMT()
    random, images = np.random.default_rng(0), []
    for _ in range(count):
        atoms.positions += random.normal(scale=0.03, size=atoms.positions.shape)
        labels = {
            "energy": factor_energy * atoms.get_potential_energy(),
            "forces": factor_forces * atoms.get_forces(),
        }
        images.append(atoms.copy())
        images[-1].calc = SinglePointCalculator(images[-1], **labels)
    return images


# Contents


def test_contents_are_counted(tmp_path):
    periodic = bulk("Cu", "fcc", a=3.6, cubic=True)
    labels = {"energy": -12.0, "forces": np.zeros((4, 3)), "stress": np.zeros(6)}
    periodic.calc = SinglePointCalculator(periodic, **labels)
    found = surveyed([*waters(5), periodic], tmp_path)
    assert (found["structures"], found["atoms"], found["groups"]) == (6, 19, 6)
    assert (found["periodic"], found["with_stress"]) == (1, 1)
    counts = {symbol: (facts["atoms"], facts["structures"]) for symbol, facts in found["elements"].items()}
    assert counts == {"H": (10, 5), "O": (5, 5), "Cu": (4, 1)}
    assert found["elements"]["Cu"]["reference_energy"] == pytest.approx(-3.0)
    water = 2 * found["elements"]["H"]["reference_energy"] + found["elements"]["O"]["reference_energy"]
    assert water == pytest.approx(np.mean([-1, -2, -3, -4, -5]))
    assert found["energy_an_atom"]["max"] == pytest.approx(2 / 3)
    assert found["atoms_a_structure"]["max"] == 4
    forces = np.concatenate([atoms.calc.results["forces"] for atoms in waters(5)] + [np.zeros((4, 3))])
    assert found["forces"]["rms"] == pytest.approx(np.sqrt(np.mean(forces**2)), rel=1e-6)
    assert found["forces"]["mean_absolute"] == pytest.approx(np.abs(forces).mean(), rel=1e-6)


def test_a_store_tells_the_same_as_its_source(tmp_path):
    ase.io.write(tmp_path / "x.xyz", waters(8), format="extxyz")
    prepare([tmp_path / "x.xyz"], tmp_path / "store", Labels(), progress=False)
    of_file, of_store = (info([tmp_path / name], Labels(), progress=False) for name in ("x.xyz", "store"))
    assert of_file.pop("sources") != of_store.pop("sources")
    assert of_file == of_store


# Duplicates


def images_of(structure: Structure, seed: int) -> Structure:
    """The same structure in another order and pose; a molecule as its mirror image, too."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(structure.numbers))
    turn = Rotation.random(random_state=seed).as_matrix() * (1 if structure.pbc.any() or seed % 2 else -1)
    return replace(
        structure,
        numbers=structure.numbers[order],
        positions=structure.positions[order] @ turn + random.normal(size=3),
        cell=structure.cell @ turn,
    )


@given(name=st.sampled_from([*STRUCTURES]), seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_fingerprints_do_not_change_with_order_and_pose(name, seed):
    structure = STRUCTURES[name]()
    one, other = fingerprint(structure), fingerprint(images_of(structure, seed))
    np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


@given(name=st.sampled_from([*STRUCTURES]), seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_fingerprints_change_with_the_structure(name, seed):
    structure = STRUCTURES[name]()
    random = np.random.default_rng(seed)
    moved = structure.positions + random.normal(scale=0.1, size=structure.positions.shape)
    assert np.linalg.norm(fingerprint(structure) - fingerprint(replace(structure, positions=moved))) > 0.01
    different = np.where(structure.numbers == structure.numbers[0], 9, structure.numbers)
    assert np.linalg.norm(fingerprint(structure) - fingerprint(replace(structure, numbers=different))) > 0.01


def test_fingerprints_see_molecules_that_are_far_apart():
    def pair(distance: float) -> Structure:
        return from_atoms(molecule("H2O") + Atoms("O", [[0, 0, distance]]))

    assert np.linalg.norm(fingerprint(pair(8.0)) - fingerprint(pair(9.0))) > 0.1


def test_planted_duplicates_are_found(tmp_path):
    images = waters(30)
    copy, turned, shaken = images[3].copy(), images[7].copy(), images[11].copy()
    turned.rotate(37, (1, 2, 3), center="COP")
    turned = turned[[2, 0, 1]]
    shaken.positions += np.random.default_rng(0).normal(scale=0.001, size=(3, 3))
    for atoms, index in ((copy, 3), (turned, 7), (shaken, 11)):
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0 - index, forces=np.eye(3) - 1 / 3)
    found = surveyed([*images, copy, turned, shaken], tmp_path)["duplicates"]
    named = {kind: [pair for pair in pairs["examples"]] for kind, pairs in found.items()}
    numbers = {k: [[int(n.rpartition(" ")[2]) for n in pair] for pair in pairs] for k, pairs in named.items()}
    assert numbers == {"exact": [[3, 30]], "moved": [[7, 31]], "near": [[11, 32]]}
    assert {kind: pairs["count"] for kind, pairs in found.items()} == {"exact": 1, "moved": 1, "near": 1}


def test_many_equal_structures_are_no_burden(tmp_path):
    (atoms,) = waters(1)
    found = surveyed([atoms] * 1000, tmp_path)
    assert found["duplicates"]["exact"]["count"] == 999
    assert found["duplicates"]["moved"]["count"] == found["duplicates"]["near"]["count"] == 0


# What looks wrong


def test_sound_labels_are_not_suspected(tmp_path):
    found = surveyed(trajectory(), tmp_path)
    assert found["suspicious"] == []
    assert found["work_ratio"] == pytest.approx(1.0, abs=0.02)
    assert suspicions(waters(30), tmp_path) == {}
    assert "forces are not the derivative of the energies" in suspicions(near_waters(30), tmp_path)


def test_wrong_labels_are_named(tmp_path):
    images = waters(20)
    images[2].calc.results["forces"] = np.zeros((3, 3))
    images[5].calc.results["forces"] = 60.0 * np.array([[1, 0, 0], [-1, 0, 0], [0, 0, 0]])
    images[9].calc.results["forces"] = images[9].calc.results["forces"] + 0.2
    again = images[13].copy()
    again.calc = SinglePointCalculator(again, energy=-13.9, forces=images[13].calc.results["forces"])
    found = {f["what"]: f for f in surveyed([*images, again], tmp_path)["suspicious"]}
    assert {what: frames_named(f["examples"]) for what, f in found.items()} == {
        "all forces are zero": [2],
        "a force above 50 eV/Å": [5],
        "forces that do not add up to zero, above 0.05 eV/Å an atom": [9],
        "equal structures of different energy": [20],
    }
    ((_, words),) = found["equal structures of different energy"]["examples"]
    assert words.startswith("+0.1000 eV to ") and words.endswith("frame 13")


@pytest.mark.parametrize(
    ("energy", "forces", "verdict"),
    [
        (1 / 27.211386, 1.0, "energies look like hartree, forces like eV/Å"),
        (1.0, 0.529177 / 27.211386, "forces look like hartree/bohr, energies like eV"),
        (1 / 27.211386, 0.529177 / 27.211386, "energies look like hartree and forces like hartree/bohr"),
        (23.0605, 1.0, "energies look like kcal/mol, forces like eV/Å"),
        (1.0, -1.0, "forces have the wrong sign, as if they were gradients"),
        (1.0, 0.3, "forces are not the derivative of the energies"),
    ],
)
def test_units_that_do_not_fit_are_recognised(tmp_path, energy, forces, verdict):
    assert [*suspicions(trajectory(20, energy, forces), tmp_path)] == [verdict]


def test_total_energies_in_hartree_are_recognised(tmp_path):
    energies = {"H2O": -76.4, "CH4": -40.5, "CO2": -188.6, "NH3": -56.5, "CH3OH": -115.7, "HCN": -93.4}
    images = []
    for index, (name, energy) in enumerate([*energies.items()] * 3):
        atoms = molecule(name)
        atoms.rattle(0.05, seed=index)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((len(atoms), 3)))
        atoms.calc.results["forces"][:2, 0] = (1.0, -1.0)
        images.append(atoms)
    (verdict,) = suspicions(images, tmp_path)
    assert verdict.startswith("energies look like hartree (an atom of H -0.")
    for atoms in images:
        atoms.calc.results["energy"] *= 27.211386
    assert suspicions(images, tmp_path) == {}


def test_outliers_are_named(tmp_path):
    images = waters(40)
    for atoms in images:
        atoms.calc.results["energy"] = -14.0 + 0.01 * np.sin(atoms.positions.sum())
    images[17].calc.results["energy"] = -11.0
    found = surveyed(images, tmp_path)["outliers"]["energy_an_atom"]
    assert (found["count"], frames_named(found["examples"])) == (1, [17])
    assert found["examples"][0][1].startswith("+0.9")


# The command


def test_the_command_prints_and_writes(tmp_path, capsys):
    images = waters(12)
    images[2].calc.results["forces"] = np.zeros((3, 3))
    images[3].calc.results["energy"] = np.nan
    ase.io.write(tmp_path / "x.xyz", images, format="extxyz")
    assert cli.main(["data", "info", str(tmp_path / "x.xyz"), "--json", str(tmp_path / "info.json")]) == 0
    out = capsys.readouterr().out
    assert "11 structures (0 periodic, 0 with stress), 33 atoms, 11 groups" in out
    assert "     1  'energy' contains NaN or infinity" in out
    assert f"1 suspicious: all forces are zero\n        {tmp_path}/x.xyz, frame 2: 0.000 eV/Å" in out
    assert max(map(len, out.split("\n\n")[1].splitlines())) <= 80
    result = json.loads((tmp_path / "info.json").read_text(encoding="utf-8"))
    assert result["structures"] == 11 and result["left_out"] == {"'energy' contains NaN or infinity": 1}
    assert result["left_out_structures"] == [[f"{tmp_path}/x.xyz, frame 3", "'energy' contains NaN or infinity"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{0}/y.xyz"], "{0}/y.xyz: no such file or folder; did you mean {0}/x.xyz?"),
        (["{0}/x.xyz", "--energy-key", "e"], "none of 2 structures can be used; {0}/x.xyz, frame 0: no 'e'"),
        (["{0}/x.xyz", "--json", "{0}"], "--json: {0} cannot be a file"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, words, message):
    ase.io.write(tmp_path / "x.xyz", waters(2), format="extxyz")
    assert cli.main(["data", "info", *(word.format(tmp_path) for word in words)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert message.format(tmp_path) in printed.err
