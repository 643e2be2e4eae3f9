"""`mlip-design eval`: errors by hand, every source, what is missing is named, a stopped evaluation goes on."""

import json
from pathlib import Path

import ase
import ase.io
import eval_calculators
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from checkpoints import saved
from eval_calculators import ELEMENT_ENERGIES, Planted
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design.calculator import MLIPCalculator
from mlip_design.cli import main
from mlip_design.data.formats.contract import Entry
from mlip_design.evaluation.collected import Collected
from mlip_design.evaluation.errors import errors, worst
from mlip_design.evaluation.predicting import Predicted
from mlip_design.structures import Structure

PLANTED = "eval_calculators:Planted"
SHIFTS = {1: 0.01, 6: -0.02, 8: 0.05, 29: 0.0}
"""eV an atom, by which the labels of the tests lie below what is predicted."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own for every test."""
    monkeypatch.setenv("MLIP_DESIGN_CACHE", str(tmp_path / "cache"))


def labelled(atoms: ase.Atoms, seed: int, config_type: str | None = None, **missing: None) -> ase.Atoms:
    """Labels with random errors of forces and an energy that is off by those of the elements and a random error."""
    random = np.random.default_rng(seed)
    calculator = Planted()
    calculator.calculate(atoms)
    energy = calculator.results["energy"] - sum(SHIFTS[n] for n in atoms.numbers) + random.normal(0, 0.1)
    results = {"energy": energy, "forces": calculator.results["forces"] + random.normal(0, 0.3, (len(atoms), 3))}
    if atoms.pbc.all():
        results["stress"] = calculator.results["stress"] + random.normal(0, 0.01, 6)
    atoms.calc = SinglePointCalculator(atoms, **(results | missing))
    atoms.info |= {} if config_type is None else {"config_type": config_type}
    return atoms


def dataset() -> list[ase.Atoms]:
    """Molecules of two groups and a crystal of a third."""
    made = []
    for seed, name in enumerate(["H2O", "CH4", "CO2", "CH3OH", "C2H6", "H2", "CO", "H2O", "CH4", "CH3OH"]):
        atoms = molecule(name)
        atoms.rattle(0.1, seed=seed)
        made.append(labelled(atoms, seed, "hot" if seed % 3 else "cold & <wet>"))
    crystal = ase.Atoms("Cu2", [[0.1, 0, 0], [1.8, 1.7, 1.9]], cell=[3.6, 3.7, 3.8], pbc=True)
    return [*made, labelled(crystal, 11, "crystal")]


@pytest.fixture
def source(tmp_path) -> Path:
    """The data set as extended XYZ."""
    ase.io.write(tmp_path / "data.xyz", dataset(), format="extxyz")
    return tmp_path / "data.xyz"


def evaluated(source: Path, *words: str, model: str = PLANTED, status: int = 0) -> dict:
    """`evaluation.json` of a command that was run."""
    out = source.parent / "out"
    assert main(["eval", model, str(source), "--out", str(out), *words]) == status
    return json.loads((out / "evaluation.json").read_text())


# Numbers


def by_hand(frames: list[ase.Atoms]) -> dict[str, float]:
    """Errors over all, from the files' numbers."""
    counts = np.array([[sum(atoms.numbers == n) for n in ELEMENT_ENERGIES] for atoms in frames])
    difference = np.array([made(atoms)["energy"] - atoms.get_potential_energy() for atoms in frames])
    shift, *_ = np.linalg.lstsq(counts, difference, rcond=None)
    sizes = counts.sum(1)
    forces = np.concatenate([(made(atoms)["forces"] - atoms.get_forces()).ravel() for atoms in frames])
    return {
        "energy_mae_per_atom": np.abs(difference / sizes).mean(),
        "energy_rmse_per_atom": np.sqrt(((difference / sizes) ** 2).mean()),
        "energy_max_per_atom": np.abs(difference / sizes).max(),
        "shifted_energy_mae_per_atom": np.abs((difference - counts @ shift) / sizes).mean(),
        "forces_mae": np.abs(forces).mean(),
        "forces_rmse": np.sqrt((forces**2).mean()),
        "forces_max": np.abs(forces).max(),
        "mean_absolute_force": np.abs(np.concatenate([atoms.get_forces().ravel() for atoms in frames])).mean(),
    }


def made(atoms: ase.Atoms) -> dict:
    """What the calculator says of atoms."""
    calculator = Planted()
    calculator.calculate(atoms)
    return calculator.results


def test_errors_are_those_by_hand(source):
    frames, facts = ase.io.read(source, ":"), evaluated(source)
    for key, value in by_hand(frames).items():
        assert facts["errors"][key] == pytest.approx(value, abs=1e-7), key
    stress = made(frames[-1])["stress"] - frames[-1].get_stress()
    full = np.concatenate([stress, stress[3:]])  # off-diagonal components count twice
    assert facts["errors"]["stress_mae"] == pytest.approx(np.abs(full).mean(), abs=1e-7)
    assert (facts["predicted"], facts["failed"], facts["left_out"]) == (11, {}, {})


def test_groups_and_elements_add_up(source):
    frames, facts = ase.io.read(source, ":"), evaluated(source)
    assert list(facts["groups"]) == ["cold & <wet>", "crystal", "hot"]
    for name, found in facts["groups"].items():
        own = [atoms for atoms in frames if atoms.info["config_type"] == name]
        assert found["structures"] == len(own)
        for key in ("energy_mae_per_atom", "forces_mae", "forces_max", "mean_absolute_force"):
            assert found[key] == pytest.approx(by_hand(own)[key], abs=1e-7)
    atoms = {symbol: found["atoms"] for symbol, found in facts["elements"].items()}
    assert sum(atoms.values()) == facts["errors"]["atoms"] == sum(map(len, frames))
    total = sum(found["forces_mae"] * found["atoms"] for found in facts["elements"].values())
    assert total / sum(atoms.values()) == pytest.approx(facts["errors"]["forces_mae"])


def test_the_energies_of_elements_are_found(tmp_path):
    """Without random errors nothing is left of the error after the shift."""
    frames = dataset()[:-1]
    for atoms in frames:
        results = made(atoms)
        energy = results["energy"] - sum(SHIFTS[n] for n in atoms.numbers)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=results["forces"])
    ase.io.write(tmp_path / "data.xyz", frames, format="extxyz")
    facts = evaluated(tmp_path / "data.xyz")
    assert facts["errors"]["energy_mae_per_atom"] > 1e-3 > 1e-7 > facts["errors"]["shifted_energy_max_per_atom"]
    for symbol, shift in (("H", 0.01), ("C", -0.02), ("O", 0.05)):
        assert facts["elements"][symbol]["energy_shift"] == pytest.approx(shift, abs=1e-7)


def collected(seed: int, count: int = 12, extra: dict[int, float] | None = None) -> Collected:
    """Random structures with random labels and predictions, which the energies of elements are added to."""
    random, found = np.random.default_rng(seed), Collected()
    for index in range(count):
        size = int(random.integers(1, 6))
        numbers = random.choice([1, 6, 8], size)
        values = random.normal(size=(2, size, 3))
        energies = random.normal(size=2) * size
        energies[1] += sum((extra or {}).get(int(n), 0.0) for n in numbers)
        structure = Structure(numbers, values[0], np.zeros((3, 3)), np.zeros(3, bool), energies[0], values[0])
        entry = Entry(f"{index}", 0.0, structure, "ab"[index % 2])
        found.add(Predicted(entry, energies[1], values[1]))
    return found


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), energies=st.tuples(*[st.floats(-1e3, 1e3)] * 3))
def test_other_energies_of_the_elements_are_no_error_after_the_shift(seed, energies):
    extra = dict(zip((1, 6, 8), energies, strict=True))
    before, after = errors(collected(seed)), errors(collected(seed, extra=extra))
    key = "shifted_energy_mae_per_atom"
    assert after["errors"][key] == pytest.approx(before["errors"][key], abs=1e-8)
    assert after["errors"]["forces_mae"] == before["errors"]["forces_mae"]


def test_the_worst_come_first():
    found = collected(3)
    listed = worst(found, 4)
    largest = [one["largest_force_error"] for one in listed[:4]]
    assert largest == sorted(largest, reverse=True)
    assert largest[0] == pytest.approx(np.linalg.norm(found.forces[:, 1] - found.forces[:, 0], axis=1).max())
    shifted = [abs(one["shifted_energy_error_per_atom"]) for one in listed]
    assert max(shifted) == pytest.approx(errors(found)["errors"]["shifted_energy_max_per_atom"])


# Predictions


def test_predictions_are_written_for_every_structure_in_order(source):
    evaluated(source)
    before, after = ase.io.read(source, ":"), ase.io.read(source.parent / "out" / "predictions.xyz", ":")
    assert len(before) == len(after)
    for place, (atoms, one) in enumerate(zip(before, after, strict=True)):
        assert np.array_equal(atoms.numbers, one.numbers) and np.abs(atoms.positions - one.positions).max() < 1e-7
        results = made(atoms)
        assert one.get_potential_energy() == pytest.approx(results["energy"], abs=1e-9)
        assert np.abs(one.get_forces() - results["forces"]).max() < 1e-7
        assert one.info["source"].endswith(f"frame {place}")
        assert one.info["config_type"] == atoms.info["config_type"]
        assert "stress" in one.calc.results if atoms.pbc.all() else "stress" not in one.calc.results
    assert np.abs(after[-1].get_stress() - made(before[-1])["stress"]).max() < 1e-12


def test_a_file_alone_can_be_asked_for(source, tmp_path, capsys):
    assert main(["eval", PLANTED, str(source), "--out", str(tmp_path / "made.xyz")]) == 0
    assert len(ase.io.read(tmp_path / "made.xyz", ":")) == 11 and not list(tmp_path.glob("*.json"))
    assert "forces" in capsys.readouterr().out
    before = (tmp_path / "made.xyz").read_bytes()
    assert main(["eval", PLANTED, str(source), "--out", str(tmp_path / "made.xyz")]) == 2
    assert "made.xyz exists already" in capsys.readouterr().err
    assert (tmp_path / "made.xyz").read_bytes() == before


def test_a_potential_predicts_in_batches_what_its_calculator_says(source, tmp_path):
    checkpoint = saved(tmp_path / "x.ckpt")
    evaluated(source, model=str(checkpoint))
    calculator = MLIPCalculator.from_checkpoint(checkpoint)
    for one in ase.io.read(tmp_path / "out" / "predictions.xyz", ":"):
        assert np.abs(calculator.get_forces(one) - one.get_forces()).max() < 1e-6
        assert calculator.get_potential_energy(one) == pytest.approx(one.get_potential_energy(), abs=1e-6)


# What is missing


def test_structures_without_labels_are_predicted(tmp_path, capsys):
    ase.io.write(tmp_path / "bare.xyz", [molecule("H2O"), molecule("CH4")], format="extxyz")
    facts = evaluated(tmp_path / "bare.xyz")
    assert facts["predicted"] == 2 and facts["errors"]["forces_mae"] is None
    assert "no labels to compare with" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").exists()


def test_labels_may_be_there_in_part(tmp_path):
    frames = [labelled(molecule("H2O"), 1, forces=None), labelled(molecule("CH4"), 2, energy=None), molecule("CO")]
    ase.io.write(tmp_path / "data.xyz", frames, format="extxyz")
    facts = evaluated(tmp_path / "data.xyz")
    difference = abs(made(frames[0])["energy"] - frames[0].get_potential_energy()) / 3
    assert facts["errors"]["energy_mae_per_atom"] == pytest.approx(difference, abs=1e-7)
    expected = np.abs(made(frames[1])["forces"] - frames[1].get_forces()).mean()
    assert facts["errors"]["forces_mae"] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["fail=8"], "CalculationFailed: no convergence"), (["nan=8"], "the prediction is not finite")],
)
def test_predictions_that_fail_are_named_and_not_averaged(source, arguments, reason, capsys):
    facts = evaluated(source, "--calculator-args", *arguments)
    with_oxygen = [place for place, atoms in enumerate(dataset()) if 8 in atoms.numbers]
    assert facts["failed"] == {f"{source}, frame {place}": reason for place in with_oxygen}
    good = [atoms for atoms in ase.io.read(source, ":") if 8 not in atoms.numbers]
    assert facts["errors"]["forces_mae"] == pytest.approx(by_hand(good)["forces_mae"], abs=1e-7)
    written = ase.io.read(source.parent / "out" / "predictions.xyz", ":")
    assert [place for place, atoms in enumerate(written) if "failed" in atoms.info] == with_oxygen
    assert f"frame {with_oxygen[0]}: {reason}" in capsys.readouterr().out
    evaluated(source, "--calculator-args", *arguments, "--strict", status=1)


def test_unknown_elements_are_named_and_the_others_predicted(tmp_path):
    frames = [molecule("H2O"), molecule("PH3"), molecule("CH4"), molecule("SiH4")]
    ase.io.write(tmp_path / "data.xyz", frames, format="extxyz")
    facts = evaluated(tmp_path / "data.xyz", model=str(saved(tmp_path / "x.ckpt")))
    assert facts["predicted"] == 2 and [name.split()[-1] for name in facts["failed"]] == ["1", "3"]
    assert "element P is unknown to this potential (it knows H, C" in next(iter(facts["failed"].values()))


def test_structures_that_cannot_be_used_are_named(tmp_path):
    coinciding, unlabelled = molecule("H2O"), labelled(molecule("CH4"), 2)
    coinciding.positions[1] = coinciding.positions[0]
    unlabelled.calc.results["energy"] = np.nan
    ase.io.write(tmp_path / "data.xyz", [coinciding, unlabelled, labelled(molecule("CO"), 3)], format="extxyz")
    facts = evaluated(tmp_path / "data.xyz")
    reasons = list(facts["left_out"].values())
    assert "atoms 0 and 1 coincide" in reasons[0] and "'energy' contains NaN" in reasons[1]
    assert facts["predicted"] == 1


def test_a_model_that_predicts_nothing_is_status_1(tmp_path, capsys):
    ase.io.write(
        tmp_path / "data.xyz", [labelled(molecule("H2O"), 1), labelled(molecule("CO"), 2)], format="extxyz"
    )
    facts = evaluated(tmp_path / "data.xyz", "--calculator-args", "fail=8", status=1)
    assert facts["predicted"] == 0 and len(facts["failed"]) == 2 and facts["errors"]["forces_mae"] is None
    assert "no convergence" in (tmp_path / "out" / "report.html").read_text()
    assert "Without a prediction" in capsys.readouterr().out


# Sources


def test_a_store_and_a_database_give_the_same_errors(source, tmp_path):
    expected = evaluated(source)["errors"]
    assert main(["data", "prepare", str(source), str(tmp_path / "store"), "--group-key", "config_type"]) == 0
    with connect(tmp_path / "data.db") as database:
        for atoms in ase.io.read(source, ":"):
            database.write(atoms, config_type=atoms.info["config_type"])
    for path, words in ((tmp_path / "store", ()), (tmp_path / "data.db", ("--group-by", "config_type"))):
        facts = evaluated(path, *words)
        assert list(facts["groups"]) == ["cold & <wet>", "crystal", "hot"]
        for key, value in expected.items():
            assert facts["errors"][key] == pytest.approx(value, abs=1e-7)


def test_names_of_labels_and_groups_can_be_given(tmp_path):
    frames = dataset()
    for atoms in frames:
        results = atoms.calc.results
        atoms.info |= {"dft": results["energy"], "kind": len(atoms)}
        atoms.arrays["dft_forces"], atoms.calc = results["forces"], None
    ase.io.write(tmp_path / "data.xyz", frames, format="extxyz")
    words = ("--energy-key", "dft", "--forces-key", "dft_forces", "--group-by", "kind")
    facts = evaluated(tmp_path / "data.xyz", *words)
    assert facts["errors"]["forces_mae"] > 0.1 and list(facts["groups"]) == ["2", "3", "5", "6", "8"]


# Stopped and bad input


def test_a_stopped_evaluation_goes_on(tmp_path, capsys):
    ase.io.write(tmp_path / "data.xyz", [labelled(molecule("CH4"), seed) for seed in range(45)], format="extxyz")
    frames = ase.io.read(tmp_path / "data.xyz", ":")
    for seed, atoms in enumerate(frames):
        calculator = atoms.calc
        atoms.rattle(0.05, seed=seed)
        atoms.calc = SinglePointCalculator(atoms, **calculator.results)
    ase.io.write(tmp_path / "data.xyz", frames, format="extxyz")
    model, words = "eval_calculators:stopping_once", ["--calculator-args", f"path={tmp_path / 'mark'}"]
    command = ["eval", model, str(tmp_path / "data.xyz"), "--out", str(tmp_path / "out"), *words]
    before = Planted.n_calls
    assert main(command) == 130
    assert "the same command goes on where it was" in capsys.readouterr().out
    assert not (tmp_path / "out" / "predictions.xyz").exists()
    assert Planted.n_calls - before == 25
    assert main(command) == 0
    assert Planted.n_calls - before == 25 + 45 - 20  # batches of ten are kept
    assert main(command) == 0
    assert Planted.n_calls - before == 25 + 45 - 20


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["MODEL", "dta.xyz", "--out", "new"], "dta.xyz: no such file or folder; did you mean"),
        (["MODEL", "data.xyz", "--out", "new", "--energy-key", "enrgy"], "no 'enrgy'"),
        (["MODEL", "data.xyz", "--out", "new", "--group-by", "kind"], "--group-by kind: no structure has it"),
        (["MODEL", "data.xyz", "--out", "data.xyz"], "data.xyz exists already; choose another name"),
        (["MODEL", "data.xyz", "--out", "run"], "run holds results.json"),
        (["MODEL", "data.xyz", "--out", "note.txt"], "note.txt is a file, expected a folder or a new name"),
        (["MODEL", "data.xyz", "--out", "new", "--json", "no/x.json"], "--json: no/x.json cannot be a file"),
        (
            ["MODEL", "data.xyz", "--out", "new", "--device", "cpu"],
            "is a calculator; tell it by --calculator-args",
        ),
        (["MODEL", "note.txt", "--out", "new"], "note.txt"),
        (["no.ckpt", "data.xyz", "--out", "new"], "no.ckpt: no such checkpoint"),
        (["MODEL", "data.xyz"], "the following arguments are required: --out"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(source, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("a note")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    assert main(["eval", *(PLANTED if word == "MODEL" else word for word in words)]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and message in printed.err
    assert not [path for path in sorted(tmp_path.rglob("*")) if path not in before and "cache" not in path.parts]


def test_predictions_are_not_written_over_what_is_read(source, tmp_path, capsys):
    evaluated(source)
    predictions = tmp_path / "out" / "predictions.xyz"
    assert main(["eval", PLANTED, str(predictions), "--out", str(tmp_path / "out")]) == 2
    assert "would be written over what is read" in capsys.readouterr().err


def test_scores_are_not_written_over_an_evaluation(source, tmp_path, capsys):
    evaluated(source)
    assert main(["bsct", PLANTED, "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "holds evaluation.json" in capsys.readouterr().err


def test_the_planted_calculator_is_as_it_says():
    """The tests would be worth nothing with a calculator whose errors vanish."""
    assert set(SHIFTS) == set(ELEMENT_ENERGIES) == set(eval_calculators.ELEMENT_ENERGIES)
    assert np.abs(made(molecule("CH4"))["forces"]).max() > 0.1
