"""Statistics of scores over systems: every system counts the same, and a failure is never averaged away."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from mlip_design.bsct import aggregate, load_scans, zero_force_score
from mlip_design.bsct.summary import warnings_of


def test_aggregate():
    scores = {f"C-C/{i}": {"x": float(i)} for i in range(5)} | {"C-N/7": {"x": 32.0}}
    summary = aggregate(scores, {name: name.split("/")[0] for name in scores})
    assert summary.count == 6
    assert summary.nonfinite == ()
    assert summary.mean == {"x": (0 + 1 + 2 + 3 + 4 + 32) / 6}  # every system the same, not every bond type
    assert summary.median == {"x": 2.5}
    assert summary.percentile_95 == pytest.approx({"x": 4 + 0.75 * (32 - 4)})  # rank 0.95 * 5 = 4.75
    assert summary.bond_mean == {"C-C": {"x": 2.0}, "C-N": {"x": 32.0}}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_aggregate_never_hides_a_failure(value):
    scores = {"C-C/1": {"x": 1.0, "y": 1.0}, "C-N/2": {"x": value, "y": 3.0}}
    summary = aggregate(scores, {"C-C/1": "C-C", "C-N/2": "C-N"})
    assert summary.nonfinite == ("C-N/2",)
    for statistic in (summary.mean, summary.median, summary.percentile_95, summary.bond_mean["C-N"]):
        assert math.isnan(statistic["x"])
    assert summary.mean["y"] == 2.0
    assert summary.bond_mean["C-C"] == {"x": 1.0, "y": 1.0}


@pytest.mark.parametrize(
    "scores, bonds, message",
    [
        ({}, {}, "no score"),
        (
            {"a": {"x": 1.0}, "b": {"y": 1.0}},
            {"a": "C-C", "b": "C-C"},
            r"b: keys \['y'\] differ from \['x'\]",
        ),
        ({"a": {"x": 1.0}}, {}, "a: has a score but no bond type"),
    ],
)
def test_aggregate_bad_input(scores, bonds, message):
    with pytest.raises(ValueError, match=message):
        aggregate(scores, bonds)


@pytest.mark.parametrize("mean, zero, warned", [(0.0, 0.0, False), (5.0, 0.0, True), (5.0, 4.0, True)])
def test_a_model_without_fault_is_not_blamed_where_zero_forces_have_none(mean, zero, warned):
    facts = {"data": {"left_out": []}, "failed": {}, "count": 2, "without_force": 0}
    facts["keys"] = {"full_smoothness": {"mean": mean, "zero": zero, "unit": "1/Å"}}
    assert any("no better than zero forces" in line for line in warnings_of(facts)) == warned


def test_zero_forces_on_real_scans():
    """All 243 systems give 52.86, 52.86, 34.89 and 22.62 1/Å; the 27 taken evenly over bond types give these."""
    folder = os.environ.get("MLIP_DESIGN_DATA")
    if not folder or not (Path(folder) / "bsct_spice").is_dir():
        pytest.skip("MLIP_DESIGN_DATA names no folder that contains bsct_spice/")
    scans = load_scans(Path(folder) / "bsct_spice", limit=27)
    summary = aggregate(
        {scan.name: zero_force_score(scan) for scan in scans}, {scan.name: scan.bond for scan in scans}
    )
    assert summary.count == 27
    assert len(summary.bond_mean) == 9
    means = [summary.mean[f"zero_{key}_smoothness"] for key in ("full", "compress", "stretch", "windowed")]
    assert means == pytest.approx([54.517, 54.517, 36.241, 22.801], abs=1e-3)
