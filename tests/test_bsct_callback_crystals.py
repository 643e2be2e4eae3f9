"""A training whose scans are of molecules and of crystals together: every kind has its names, stresses are scored."""

import csv
import json
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
import tiny_run
from ase.build import bulk
from test_build_scans import EMT_NAME

from callbacks import job
from callbacks.bsct import logged_keys, summarize
from mlip_design.bsct import METRIC_KEYS, load_scans, score_scan, zero_force_score
from mlip_design.bsct.runner import predict_scans, scan_batches
from mlip_design.checkpoint import load_potential
from mlip_design.cli import main

GROUPS = {"C-C", "C-N", "atom_C-C", "volume_C"}
STRESS = {"stress_smoothness", "stress_mae", "zero_stress_smoothness", "zero_stress_mae"}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Two bonds, an atom of a crystal, and its volume."""
    folder = tmp_path_factory.mktemp("mixed")
    crystal = bulk("C", "diamond", a=3.57, cubic=True)
    crystal.rattle(0.05, seed=3)
    ase.io.write(folder / "in.xyz", crystal, format="extxyz")
    root = tiny_run.write_scans(tiny_run.few_scans(count=2, step=10), folder / "scans")
    for kind in ("atom", "volume"):
        theory = ["--calculator", EMT_NAME, "--no-relax", "--frames", "5"]
        structures = ["--structures", str(folder / "in.xyz"), "--kind", kind, "--out", str(folder / kind)]
        assert main(["build-scans", *structures, *theory]) == 0
        for group in (folder / kind).glob(f"{kind}_*"):
            shutil.copytree(group, root / group.name)
    assert {scan.bond for scan in load_scans(root)} == GROUPS
    return root


def overrides(root: Path, epochs: int) -> list[str]:
    scans = [f"scans.{stage}.root={root}" for stage in ("val", "test")]
    return [*tiny_run.inputs(), *scans, "callbacks.bsct.n_worst=4", f"trainer.max_epochs={epochs}"]


@pytest.fixture(scope="module")
def finished(root, tmp_path_factory) -> Path:
    """A run of one epoch, then resumed for another."""
    folder = tmp_path_factory.mktemp("runs") / "mixed"
    tiny_run.run(overrides(root, 1), folder)
    job.train(tiny_run.compose(overrides(root, 2), folder), folder, folder / "checkpoints" / "last.ckpt")
    return folder


def metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "results.json").read_text())["metrics"]


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with open(folder / name, newline="") as file:
        return list(csv.DictReader(file))


def test_every_kind_has_its_names(finished, root):
    expected = {*METRIC_KEYS, *(f"zero_{key}" for key in METRIC_KEYS if not key.endswith("energy_mae")), *STRESS}
    expected |= {"full_smoothness_median", "full_smoothness_percentile_95", "seconds"}
    expected |= {f"bond/{group}" for group in GROUPS}
    for stage in ("val", "test"):
        names = {name.removeprefix(f"{stage}/bsct/") for name in metrics(finished) if f"{stage}/bsct/" in name}
        assert names == expected
    assert {name.removeprefix("val/bsct/") for name in logged_keys(load_scans(root))} == expected
    molecules = [scan for scan in load_scans(root) if scan.cells is None]
    assert not any("stress" in name for name in logged_keys(molecules))
    history = rows(finished, "metrics.csv")
    assert len(history) == 2 and all(float(row["val/bsct/stress_mae"]) > 0 for row in history)


def test_values_are_those_of_the_saved_weights(finished, root):
    potential, scans = load_potential(finished), load_scans(root)
    batches = scan_batches(scans, potential.cutoff, 2048, potential.dtype)
    predictions = predict_scans(potential, scans, batches, "cpu")
    scores = {
        scan.name: {**score_scan(scan, *prediction), **zero_force_score(scan)}
        for scan, prediction in zip(scans, predictions, strict=True)
    }
    found = metrics(finished)
    for key, value in summarize(scores, scans)[0].items():
        assert found[f"test/bsct/{key}"] == pytest.approx(value, rel=1e-4), key
    (volume,) = (scan for scan in scans if scan.stresses is not None)
    assert found["test/bsct/zero_stress_mae"] == pytest.approx(np.abs(volume.stresses).mean(), rel=1e-5)
    others = [score["full_smoothness"] for name, score in scores.items()]
    assert found["test/bsct/full_smoothness"] == pytest.approx(np.mean(others), rel=1e-4)


def test_a_potential_without_stress_is_scored_without(root, tmp_path):
    tiny_run.run([*overrides(root, 1), "model/readout=direct"], tmp_path / "run")
    found = metrics(tmp_path / "run")
    assert not any("stress" in name for name in found)
    assert found["val/bsct/bond/volume_C"] >= 0 and found["test/bsct/full_forces_mae"] > 0


def test_the_table_of_scans_has_the_stress_of_those_that_have_one(finished):
    table = {row["bond"]: row for row in rows(finished, "scans_val.csv")}
    assert set(table) == GROUPS
    assert {bond for bond, row in table.items() if row["stress_mae"]} == {"volume_C"}
    assert float(table["volume_C"]["stress_smoothness"]) >= 0
    assert all(float(row["full_forces_mae"]) > 0 for row in table.values())


def test_every_kind_is_drawn_and_the_page_is_written(finished):
    for moment in ("val_epoch_000", "val_epoch_001", "test"):
        names = [path.name for path in (finished / "figures" / moment).iterdir()]
        drawn = {name.split("_", 2)[2].split("_00")[0] for name in names}
        assert len(names) == 4 and {"atom_C-C", "volume_C"} <= drawn
    assert "volume_C/0000" in (finished / "report.html").read_text()
