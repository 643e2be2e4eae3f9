"""The models of the package work by name, and are what their cards say."""

import os
import re
from pathlib import Path

import ase.build
import numpy as np
import pytest

from mlip_design.bsct import score_scan
from mlip_design.bsct.predict import Model, predict
from mlip_design.bsct.scoring import score
from mlip_design.calculator import MLIPCalculator
from mlip_design.cli import main
from mlip_design.data.bundled import bundled_path
from mlip_design.data.sources import scans_of_split
from mlip_design.stored_model import bundled_models, model_files
from studies.bundling import CARD

NAMES = list(bundled_models())
DFT = "equivariant_spice-bundled"


def said_score(name) -> float:
    """The FSD that the card of a model tells."""
    (row,) = re.findall(r"\| FSD, 1/Å \| ([\d.]+) \|", (bundled_models()[name] / CARD).read_text(encoding="utf-8"))
    return float(row)


def test_there_are_models_of_both_kinds():
    assert {"smooth_attn-bundled", "equivariant-bundled", DFT} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small_and_has_a_card(name):
    folder = bundled_models()[name]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1e6
    said = (folder / CARD).read_text(encoding="utf-8")
    assert all(word in said for word in ("parameters", "(MIT", "Limits", "FSD of zero forces"))
    assert not re.search(r"/(work|tmp|home)/", said + (folder / "model.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_five_lines_of_ase(name):
    atoms = ase.build.molecule("CH3CH2OH")
    atoms.calc = MLIPCalculator.from_checkpoint(name)
    forces = atoms.get_forces()
    assert np.abs(forces).max() < 5 and np.abs(forces.sum(axis=0)).max() < 1e-9
    assert np.isfinite(atoms.get_potential_energy())


@pytest.mark.parametrize("name", sorted({*NAMES} - {DFT}))
def test_its_card_tells_what_is_scored(name):
    facts = score(Model(name, dtype="float32"), bundled_path("scans_test.tar.xz")).facts
    assert facts["keys"]["full_smoothness"]["mean"] == pytest.approx(said_score(name), abs=0.06)


def test_its_card_tells_what_is_scored_on_dft_scans_that_training_never_saw():
    folder = os.environ.get("MLIP_DESIGN_DATA")
    if folder is None:
        pytest.skip("MLIP_DESIGN_DATA names no folder that contains bsct_spice/")
    held_out = scans_of_split(str(Path(folder) / "bsct_spice"), "test", val=0.1, test=0.2, seed=0)
    predicted, _ = predict(Model(DFT, dtype="float32"), held_out, workers=2)
    pairs = zip(held_out, predicted, strict=True)
    smoothness = [score_scan(scan, *made.prediction)["full_smoothness"] for scan, made in pairs]
    assert len(smoothness) == 49
    assert np.mean(smoothness) == pytest.approx(said_score(DFT), abs=0.06)


def test_a_command_takes_it_by_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["bsct", "smooth_attn-bundled", "--data", str(bundled_path("scans_val.tar.xz")), "--limit", "2"]
    assert main(words) == 0
    assert "smooth_attn-bundled" in capsys.readouterr().out


def test_a_name_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"smoth_attn-bundled: no such model .* did you mean smooth_attn-bund"
    ):
        model_files("smoth_attn-bundled")
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        model_files(tmp_path / "smooth_attn-bundled")


def test_a_folder_of_the_same_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smooth_attn-bundled").mkdir()
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        model_files("smooth_attn-bundled")
