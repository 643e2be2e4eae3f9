"""The stress of a model along the volume of crystals: its formula, its predictions, what is shown of it."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import volume_scans
from ase.build import molecule
from checkpoints import saved
from conftest import build as potential
from hypothesis import given, settings
from hypothesis import strategies as st
from test_build_scans import EMT_NAME
from volume_scans import ALLOY, COPPER, N_FRAMES, atoms_of

from mlip_design.bsct import score_scan, zero_force_score
from mlip_design.bsct.measure import measure
from mlip_design.bsct.plots import plot_scan
from mlip_design.bsct.predict import Model, Predicted, predict
from mlip_design.bsct.result import load_result
from mlip_design.bsct.runner import predict_scans, scan_batches
from mlip_design.calculator import MLIPCalculator
from mlip_design.cli import main
from mlip_design.evaluator import NO_STRESS
from mlip_design.evaluator import predict as evaluate
from mlip_design.structures import from_atoms


@pytest.fixture(scope="module")
def built() -> Path:
    """Folder of the build."""
    return volume_scans.built()


@pytest.fixture(scope="module")
def scans() -> dict:
    """By name."""
    return volume_scans.scans()


def scored(tmp_path: Path, built: Path, model: str, *arguments: str) -> tuple[int, dict]:
    """Exit status and facts of a scoring, which leaves its page in `tmp_path / "out"`."""
    status = main(["bsct", model, "--data", str(built), "--out", str(tmp_path / "out"), *arguments])
    return status, json.loads((tmp_path / "out" / "result.json").read_text())


def score_with_loops(scan, stresses, floor: float) -> dict[str, float]:
    """FSD of the stress and its error, number by number, from what docs/bsct.md says."""
    k = min(range(N_FRAMES), key=lambda i: scan.energies[i])
    ratios, errors = [], []
    for i in range(N_FRAMES):
        model = reference = 0.0
        for a in range(3):
            for b in range(3):
                centre = scan.lengths[k] ** 2 * scan.stresses[k, a, b]
                model += (scan.lengths[i] ** 2 * stresses[i, a, b] - centre) ** 2
                reference += (scan.lengths[i] ** 2 * scan.stresses[i, a, b] - centre) ** 2
                errors.append(abs(stresses[i, a, b] - scan.stresses[i, a, b]))
        ratios.append(math.log(max(model, floor**2)) - math.log(max(reference, floor**2)))
    slopes = [(ratios[i + 1] - ratios[i]) / (scan.lengths[i + 1] - scan.lengths[i]) for i in range(N_FRAMES - 1)]
    return {"stress_smoothness": max(map(abs, slopes)), "stress_mae": sum(errors) / len(errors)}


@pytest.mark.parametrize("floor", [0.1, 1.0])
def test_the_score_is_the_formula(scans, floor):
    random = np.random.default_rng(0)
    for scan in scans.values():
        stresses = scan.stresses * random.uniform(0.5, 2, size=(N_FRAMES, 1, 1))
        score = score_scan(scan, scan.energies, scan.forces, stresses, floor=floor)
        expected = score_with_loops(scan, stresses, floor)
        assert {key: score.pop(key) for key in expected} == pytest.approx(expected, rel=1e-10)
        assert set(score.values()) == {0.0}
        zero = score_with_loops(scan, np.zeros_like(stresses), floor)
        found = zero_force_score(scan, floor)
        assert {key: found[f"zero_{key}"] for key in zero} == pytest.approx(zero, rel=1e-10)


@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(-2, 3))
@settings(max_examples=30, deadline=None)
def test_the_score_does_not_depend_on_axes_and_the_size_of_the_cell(scans, seed, factor):
    """A cell that holds every atom twice, with everything turned: the same smoothness, of a wrong model as well."""
    scan, random = scans[ALLOY], np.random.default_rng(seed)
    rotation = np.linalg.qr(random.normal(size=(3, 3)))[0]
    twice = replace(
        scan,
        numbers=np.tile(scan.numbers, 2),
        positions=np.tile(scan.positions, (1, 2, 1)) @ rotation,
        energies=2 * scan.energies,
        forces=np.tile(scan.forces, (1, 2, 1)) @ rotation,
        stresses=rotation.T @ scan.stresses @ rotation,
    )
    wrong = factor * scan.stresses + random.normal(scale=0.1, size=(3, 3))
    score = score_scan(scan, scan.energies, scan.forces, wrong)
    turned = score_scan(twice, twice.energies, twice.forces, rotation.T @ wrong @ rotation)
    assert turned["stress_smoothness"] == pytest.approx(score["stress_smoothness"], rel=1e-9, abs=1e-9)
    assert turned["stress_smoothness"] > 0
    assert score_scan(twice, *twice.labels)["stress_smoothness"] == 0


def test_stresses_of_a_scan_without_and_of_the_wrong_shape_are_refused(scans):
    scan = scans[COPPER]
    with pytest.raises(ValueError, match=r"stresses have shape \(11, 6\), expected \(11, 3, 3\)"):
        score_scan(scan, scan.energies, scan.forces, np.zeros((N_FRAMES, 6)))
    without = replace(scan, stresses=None)
    with pytest.raises(ValueError, match="stresses are given, but the scan has no reference stresses"):
        score_scan(without, scan.energies, scan.forces, scan.stresses)


def test_the_work_of_the_stress_is_the_energy(scans):
    """Along the whole path, to the error of the integral; not with half of the stress, or the other sign."""
    for scan in scans.values():
        spread = np.ptp(scan.energies)
        for factor, expected in ((1.0, 0.0), (0.5, 0.5), (-1.0, 2.0)):
            prediction = Predicted(scan.energies, scan.forces, {}, factor * scan.stresses)
            assert measure(scan, prediction)["closure"] == pytest.approx(expected * spread, abs=1e-3)


def test_the_same_potential_scores_zero_and_another_sign_is_caught(built, scans, tmp_path, capsys):
    status, facts = scored(tmp_path, built, EMT_NAME)
    assert (status, facts["failed"], facts["without_force"]) == (0, {}, 1)
    keys = ("stress_smoothness", "stress_mae", "full_smoothness", "full_forces_mae")
    assert max(facts["keys"][key]["mean"] for key in keys) < 1e-6
    assert facts["keys"]["stress_mae"]["unit"] == "eV/Å³" and facts["keys"]["stress_mae"]["zero"] > 0.03
    assert "1 of 2 systems feel no force" in capsys.readouterr().out

    status, facts = scored(tmp_path, built, "build_calculators:Stressed", "--calculator-args", "factor=-1")
    assert status == 0
    assert facts["keys"]["full_forces_mae"]["mean"] < 1e-7
    for name, scan in scans.items():
        found = facts["systems"][name]
        assert found["stress_mae"] == pytest.approx(2 * np.abs(scan.stresses).mean(), rel=1e-6)
        assert found["stress_mae"] == pytest.approx(2 * found["zero_stress_mae"], rel=1e-6)
        assert found["stress_smoothness"] > 1
    assert any("no better than zero stress: stress_mae" in warning for warning in facts["warnings"])


def test_the_printed_result_and_the_page_show_the_stress(built, tmp_path, capsys):
    _, facts = scored(tmp_path, built, "build_calculators:Stressed", "--calculator-args", "factor=0.5")
    printed, page = capsys.readouterr().out, (tmp_path / "out" / "report.html").read_text()
    stress = facts["keys"]["stress_mae"]
    assert "…" not in printed
    for text in (
        f"{1000 * stress['mean']:.2f}",
        f"{1000 * stress['zero']:.2f}",
        "FSD of volumes: of their stress",
    ):
        assert text in printed
    assert f"{facts['keys']['stress_smoothness']['mean']:.1f}" in printed
    assert "mean stress" in page and f"MAE {facts['systems'][ALLOY]['stress_mae']:.4f} eV" in page
    assert facts["sensitivity"][2]["stress_smoothness"] == pytest.approx(
        facts["keys"]["stress_smoothness"]["mean"]
    )
    worst = facts["systems"][facts["worst"][0]]["stress_smoothness"]
    assert worst == max(system["stress_smoothness"] for system in facts["systems"].values())


@pytest.mark.parametrize("end", [0, 1])
def test_a_picture_of_a_volume_has_its_stress(scans, end, tmp_path):
    scan = scans[COPPER]
    forces, stresses = scan.forces, scan.stresses * np.linspace(1, 2, N_FRAMES)[:, None, None]
    before = (scan.energies, forces, 0.5 * stresses, "epoch 0") if end else None
    figure = plot_scan(scan, scan.energies, forces, stresses, before=before)
    figure.savefig(tmp_path / "scan.png")
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert len(labels) == 5 and labels[1] == "mean stress (eV/Å³)" and "stress" in labels[2]
    assert figure.axes[-1].get_xlabel() == "Cu cube root of the volume an atom (Å)"
    score = score_scan(scan, scan.energies, forces, stresses)
    assert f"{score['stress_smoothness']:.1f}" == figure.axes[0].get_title().split("\n")[1].split()[-1]


def test_a_checkpoint_is_scored_with_its_own_stress(built, scans, tmp_path):
    """End to end, against the calculator frame by frame and the formula."""
    checkpoint = saved(tmp_path / "model.ckpt")
    status, facts = scored(tmp_path, built, str(checkpoint))
    assert status == 0 and facts["count"] == 2
    result, calculator = load_result(tmp_path / "out"), MLIPCalculator.from_checkpoint(checkpoint)
    for scan, (_, forces, stresses) in zip(result.scans, result.predictions, strict=True):
        for frame in (0, 7):
            atoms = atoms_of(scan, frame, calculator)
            np.testing.assert_allclose(stresses[frame], atoms.get_stress(voigt=False), rtol=0, atol=1e-10)
            np.testing.assert_allclose(forces[frame], atoms.get_forces(), rtol=0, atol=1e-8)
        expected = score_with_loops(scans[scan.name], stresses, 1.0)
        found = facts["systems"][scan.name]
        assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-8)
        assert found["closure"] < 0.01 * np.ptp(result.predictions[0][0])


def test_several_cells_in_a_batch_are_as_one_by_one(scans):
    """Crystals of different size with a molecule among them, which has no stress."""
    structures = [from_atoms(atoms_of(scan, frame)) for frame in (0, 5) for scan in scans.values()]
    structures.insert(2, from_atoms(molecule("H2O")))
    model = potential()
    together = evaluate(model, structures, 512, stress=True)
    alone = [evaluate(model, [structure], 512, stress=True).stresses[0] for structure in structures]
    np.testing.assert_allclose(together.stresses, alone, rtol=0, atol=1e-12)
    assert np.isnan(together.stresses).all(axis=(1, 2)).tolist() == [False, False, True, False, False]
    assert np.abs(np.diff(together.stresses[[0, 1, 3]], axis=0)).max() > 1e-3
    assert evaluate(model, structures, 512).stresses is None


def test_volumes_and_others_share_batches(scans):
    """As in training: stresses go to the scans that have them."""
    volume, other = scans[ALLOY], replace(scans[COPPER], stresses=None)
    model = potential()
    mixed = predict_scans(
        model, [other, volume], scan_batches([other, volume], model.cutoff, 7, model.dtype), "cpu"
    )
    (alone,) = predict_scans(model, [volume], scan_batches([volume], model.cutoff, 512, model.dtype), "cpu")
    assert [len(prediction) for prediction in mixed] == [2, 3]
    for one, other in zip(mixed[1], alone, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


def test_what_is_kept_without_stress_is_computed_again(scans, tmp_path, monkeypatch):
    monkeypatch.setenv("MLIP_DESIGN_CACHE", str(tmp_path))
    model, scan = Model(EMT_NAME), scans[ALLOY]
    predict(model, [replace(scan, stresses=None)])
    first, second = predict(model, [scan]), predict(model, [scan])
    assert (first.n_known, second.n_known) == (0, N_FRAMES)
    assert np.array_equal(first.predicted[0].stresses, second.predicted[0].stresses)
    np.testing.assert_allclose(second.predicted[0].stresses, scan.stresses, rtol=0, atol=1e-11)


def test_a_model_without_stress_fails_on_volumes_only(built, tmp_path, capsys):
    status, facts = scored(tmp_path, built, "build_calculators:Stressless")
    assert status == 1
    assert set(facts["failed"].values()) == {f"11 of 11 frames, the first is frame 0: {NO_STRESS}"}
    assert NO_STRESS in capsys.readouterr().out


def test_a_stress_that_is_not_finite_is_no_prediction(built, tmp_path):
    _, facts = scored(tmp_path, built, "build_calculators:Stressed", "--calculator-args", "factor='nan'")
    assert all("energy, forces or stress are not finite" in why for why in facts["failed"].values())
    assert facts["count"] == 0 and len(facts["failed"]) == 2
