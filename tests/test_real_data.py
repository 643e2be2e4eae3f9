"""DFT data as published: files of acetylacetone, and BSCT scans split by system, through a whole small run."""

import json
import os
from pathlib import Path

import ase.io
import pytest
import tiny_run

from mlip_design.bsct import PUBLISHED_KEYS

ROOT = os.environ.get("MLIP_DESIGN_DATA")
needs_data = pytest.mark.skipif(ROOT is None, reason="MLIP_DESIGN_DATA names no folder with the reference data")
ACAC = {"train": "train_300K", "test": "test_MD_300K"}
SMALL = [word for word in tiny_run.TINY if not word.startswith("data=")] + ["trainer.max_epochs=1"]


@needs_data
def test_acetylacetone(tmp_path):
    files = {split: Path(ROOT) / "acac" / f"{name}.xyz" for split, name in ACAC.items()}
    overrides = ["data=extxyz", *(f"data.{split}={path}" for split, path in files.items()), "data.val=0.1"]
    with pytest.warns(UserWarning, match=r"leaves out \d+ of 27 scans: element N, F, P, S is unknown"):
        tiny_run.run([*SMALL, *overrides], tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["data"]["train"]["structures"] == 450
    assert results["data"]["test"]["structures"] > 600
    assert results["metrics"]["test/forces_mae"] < 3 * results["data"]["test"]["mean_absolute_force"]


@needs_data
def test_scans_split_by_system(tmp_path):
    root = tmp_path / "scans"
    for bond in ("C-C", "C-N"):
        (root / bond).mkdir(parents=True)
        systems = sorted((Path(ROOT) / "bsct_spice" / bond).iterdir())
        common = [s for s in systems if set("HCNO").issuperset(ase.io.read(s / "unperturbed.xyz").symbols)]
        for system in common[:10]:
            (root / bond / system.name).symlink_to(system)
    overrides = ["data=bsct", f"data.root={root}", "data.val=0.2", "data.test=0.2", "data.stride=20"]
    tiny_run.run([*SMALL, *overrides], tmp_path / "run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["data"]["train"]["structures"] == 12 * 5
    assert all(f"test/bsct/{key}" in results["metrics"] for key in PUBLISHED_KEYS)
