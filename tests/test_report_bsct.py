"""The page of a BSCT result: complete, in one file, what it shows is what was scored."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_run
from scan_files import edit
from test_report_run import Cells, outside_references

from mlip_design.bsct import deviation_curves
from mlip_design.bsct.result import load_result
from mlip_design.cli import main
from mlip_design.report import bsct_page
from mlip_design.report.bsct_figures import drawn_scan

BAD_NAME = "<svg onload=alert(1)>"
FAILED = "C-P/10"


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> Path:
    """A result with a system that the model cannot do, and one whose files are wrong and whose name is hostile."""
    folder = tmp_path_factory.mktemp("a result & more")
    data = tiny_run.write_scans(tiny_run.few_scans(), folder / "scans")
    shutil.copytree(next((data / "C-C").iterdir()), data / "C-C" / BAD_NAME)
    edit(data / "C-C" / BAD_NAME / "atoms_3.xyz", "energy=", "enrgy=")
    model = ["scoring_calculators:Failing", "--calculator-args", "how=raise", "elements=P"]
    assert main(["bsct", *model, "--data", str(data), "--out", str(folder / "out")]) == 0
    return folder / "out"


def facts_of(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def rows_of(folder: Path) -> list[list[str]]:
    return [row for row in Cells(folder / "report.html").rows if row]


def drawn_on(folder: Path) -> dict:
    """Scans that the page can draw, by name."""
    text = (folder / "report.html").read_text()
    return json.loads(re.search(r'<script type="application/json" id="scans">(.*?)</script>', text, re.DOTALL)[1])


def test_scoring_leaves_its_page(scored):
    page = scored / "report.html"
    text = page.read_text(encoding="utf-8")
    own = re.sub(r"<script>\s*/\*\*\s*\* plotly.js.*?</script>", "", text, flags=re.DOTALL)
    assert outside_references(own) == []
    assert len(own) < 0.2e6 and page.stat().st_size < 8e6
    assert not list(scored.glob(".*"))


def test_numbers_of_the_page_are_those_of_the_result(scored):
    facts, rows = facts_of(scored), rows_of(scored)
    for region, label in (("full", "full"), ("windowed", "away from equilibrium")):
        one = facts["keys"][f"{region}_smoothness"]
        values = [one["mean"], *one["interval"], one["median"], one["percentile_95"], one["zero"]]
        assert [label, *(f"{value:,.1f}" for value in values)] in rows
    one = facts["keys"]["full_forces_mae"]
    values = [one["mean"], *one["interval"], one["median"], one["percentile_95"], one["zero"]]
    assert ["forces, full", "eV/Å", *(f"{value:,.3f}" for value in values)] in rows
    groups = {row[0]: row[1] for row in rows if row[0] in facts["bonds"]}
    assert groups == {bond: "1" for bond in facts["bonds"]} and len(groups) == 4
    first = facts["sensitivity"][0]
    assert next(row for row in rows if row[:2] == ["0.1", "all"])[2] == f"{first['full_smoothness']:,.1f}"
    work = facts["conservation"]
    assert any(f"reference: {work['reference_max']:.3f} eV" == row[-1] for row in rows)


def test_every_system_is_in_the_table_worst_first(scored):
    facts = facts_of(scored)
    shown = {row[0]: row for row in rows_of(scored) if row[0] in facts["systems"] and len(row) > 4}
    assert list(shown) == [FAILED, *facts["worst"]] and len(shown) == 5
    for name in facts["worst"]:
        system = facts["systems"][name]
        assert shown[name][1:3] == [str(system["atoms"]), f"{system['full_smoothness']:,.1f}"]
    assert "SCF not converged in 50 steps" in shown[FAILED][-1] and shown[FAILED][2] == "–"


def test_what_was_not_scored_is_named_with_its_reason(scored):
    rows, text = rows_of(scored), (scored / "report.html").read_text()
    facts = facts_of(scored)
    assert [FAILED, facts["failed"][FAILED]] in rows
    bad = f"C-C/{BAD_NAME}"
    assert [bad, facts["data"]["left_out"][bad]] in rows
    assert BAD_NAME not in text
    assert (
        all(f"<li>{warning}" in text for warning in facts["warnings"] if "<" not in warning) and facts["warnings"]
    )


def test_a_drawn_scan_is_what_was_scored(scored):
    drawn, result = drawn_on(scored), load_result(scored)
    assert set(drawn) == set(result.facts["systems"])
    for scan, (energies, forces) in zip(result.scans, result.predictions, strict=True):
        one, system = drawn[scan.name], result.facts["systems"][scan.name]
        if scan.name == FAILED:
            assert one["steepest"] is None and set(one["deviations"]) == {None}
            continue
        curves = deviation_curves(scan, forces)
        np.testing.assert_allclose(one["log_ratio"], curves.log_ratio, rtol=1e-3, atol=1e-9)
        np.testing.assert_allclose(one["energies"], energies - energies[scan.equilibrium], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(one["lengths"], scan.lengths, rtol=1e-3)
        assert one["slope"][one["steepest"]] == max(one["slope"])
        assert max(one["slope"]) == pytest.approx(system["full_smoothness"], rel=1e-3)
        assert f"FSD {system['full_smoothness']:.1f} 1/Å" in one["title"]


def test_a_planted_kink_is_where_the_page_marks_it(scored):
    result = load_result(scored)
    scan, system = result.scans[0], result.facts["systems"][result.scans[0].name]
    forces = scan.forces.copy()
    forces[15:] *= 5.0
    one = drawn_scan(scan, (scan.energies, forces), system)
    assert one["steepest"] == 14
    assert drawn_scan(scan, scan.labels, system)["slope"] == [0.0] * (len(scan.lengths) - 1)


def test_a_large_set_draws_its_worst(scored, tmp_path, monkeypatch):
    folder = shutil.copytree(scored, tmp_path / "out")
    monkeypatch.setattr(bsct_page, "N_DRAWN", 2)
    assert main(["report", str(folder)]) == 0
    assert set(drawn_on(folder)) == {FAILED, facts_of(folder)["worst"][0]}
    assert "can draw the first 2" in (folder / "report.html").read_text()


def test_the_page_is_written_again(scored, tmp_path, capsys):
    folder = shutil.copytree(scored, tmp_path / "out")
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert (folder / "report.html").read_bytes() == before


def test_a_stop_while_writing_leaves_the_page_that_was(scored, tmp_path, monkeypatch):
    folder = shutil.copytree(scored, tmp_path / "out")
    (folder / "report.html").write_text("the page that was")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mlip_design.files.os.replace", stop)
        assert main(["report", str(folder)]) == 130
    assert (folder / "report.html").read_text() == "the page that was"
    assert main(["report", str(folder)]) == 0
    assert len(drawn_on(folder)) == 5 and not list(folder.glob(".*"))


def test_damaged_predictions_are_one_line_and_leave_the_page(scored, tmp_path, capsys):
    folder = shutil.copytree(scored, tmp_path / "out")
    (folder / "predictions.npz").write_bytes(b"not what it was")
    before = (folder / "report.html").read_bytes()
    assert main(["report", str(folder)]) == 2
    assert "predictions.npz: missing or damaged" in capsys.readouterr().err
    assert (folder / "report.html").read_bytes() == before


@pytest.mark.parametrize("bond, elements, shown", [("C-C", "", 0), ("C-O", "S", 1)])
def test_no_system_and_one_system(scored, tmp_path, bond, elements, shown):
    """Without a usable prediction there is nothing to sum up; of one system there is no interval."""
    model = ["scoring_calculators:Failing", "--calculator-args", "how=nan", f"elements={elements}"]
    data = scored.parent / "scans"
    out = tmp_path / "out"
    assert main(["bsct", *model, "--data", str(data), "--bonds", bond, "--out", str(out)]) == 1 - shown
    text = (out / "report.html").read_text()
    assert ("By bond type" in text) == bool(shown)
    assert len(drawn_on(out)) == 1


def test_a_run_keeps_its_page(scored, tmp_path, capsys):
    (tmp_path / "results.json").write_text("{}")
    (tmp_path / "report.html").write_text("mine")
    command = ["bsct", "scoring_calculators:Morse", "--data", str(scored.parent / "scans"), "--out", str(tmp_path)]
    assert main(command) == 2
    assert "would be written over" in capsys.readouterr().err
    assert (tmp_path / "report.html").read_text() == "mine" and len(list(tmp_path.iterdir())) == 2
