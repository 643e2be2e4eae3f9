"""The page of a run: written at its end, complete, in one file, and harmless to the run."""

import csv
import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import tiny_run
from run_records import write_record

from callbacks import results as callback
from mlip_design.bsct import load_scans
from mlip_design.report.run_page import write_run_page

HOSTILE = 'model.note="<script>alert(1)</script> & \'<b>"'


class Cells(HTMLParser):
    """Rows of the tables of a page, as text."""

    def __init__(self, page: Path):
        super().__init__()
        self.rows: list[list[str]] = []
        self.is_cell = False
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        self.is_cell = self.is_cell or tag == "td"
        if tag == "td":
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.is_cell = self.is_cell and tag != "td"

    def handle_data(self, data):
        if self.is_cell:
            self.rows[-1][-1] += data


def outside_references(text: str) -> list[str]:
    """What a page would load from elsewhere: sources and style sheets that are not data of its own."""
    found = re.findall(r"""(?:\bsrc|<link[^>]*\bhref)\s*=\s*["']?([^"'\s>]+)""", text)
    found += re.findall(r"""@import\s+\S+|\burl\(\s*["']?([^)"']+)""", text)
    return [reference for reference in found if not reference.startswith(("data:", "#"))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Folder of a tiny run."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    tiny_run.run([*tiny_run.inputs(), "trainer.max_epochs=3", "seed=2"], folder)
    return folder


def test_a_run_leaves_its_page(finished):
    page = finished / "report.html"
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>") and text.rstrip().endswith("</html>")
    assert page.stat().st_size < 2e6
    assert outside_references(text) == []
    assert not list(finished.glob(".*"))


def test_outside_references_are_seen():
    for text in (
        '<script src="https://cdn.example.org/plotly.js">',
        "<link rel=stylesheet href=style.css>",
        "<img src='figures/a.png'>",
        "body { background: url(paper.png) }",
    ):
        assert outside_references(text), text
    assert outside_references("<img src='data:image/png;base64,AA'><use href='#a'> <a href='figures/a.png'>") == []


def test_numbers_of_the_page_are_those_of_the_record(finished):
    rows = {row[0]: row[1:] for row in Cells(finished / "report.html").rows if row}
    record = json.loads((finished / "results.json").read_text())
    metrics = record["metrics"]
    assert rows["val"] == [
        f"{record['data']['val']['structures']}",
        f"{1000 * metrics['val/energy_mae_per_atom']:,.1f}",
        f"{1000 * metrics['val/forces_mae']:,.1f}",
        f"{1000 * record['data']['val']['mean_absolute_force']:,.1f}",
    ]
    with open(finished / "metrics.csv", newline="") as file:
        first = next(csv.DictReader(file))
    assert rows["full"] == [
        f"{float(first['val/bsct/full_smoothness']):.1f}",
        *(f"{metrics[f'{s}/bsct/{z}full_smoothness']:.1f}" for s in ("val", "test") for z in ("", "zero_")),
    ]
    assert rows["parameters"] == [f"{record['cost']['parameters']:,}"]


def test_every_scan_is_in_the_table_worst_first(finished):
    with open(finished / "scans_val.csv", newline="") as file:
        scores = {row["scan"]: float(row["full_smoothness"]) for row in csv.DictReader(file)}
    assert set(scores) == {scan.name for scan in load_scans(tiny_run.option("scans.val.root"))}
    shown = [row[0] for row in Cells(finished / "report.html").rows if row and row[0] in scores]
    assert shown == sorted(scores, key=lambda name: -scores[name])
    mean = sum(scores.values()) / len(scores)
    metrics = json.loads((finished / "results.json").read_text())["metrics"]
    assert mean == pytest.approx(metrics["val/bsct/full_smoothness"], rel=1e-5)


def test_scans_then_and_now(finished):
    """The first and the last evaluation are drawn, and the page shows the last, on which the first is drawn too."""
    drawn = sorted(path.name for path in finished.glob("figures/val_epoch_*"))
    assert drawn == ["val_epoch_000", "val_epoch_002"]
    captions = re.findall(r"<figcaption>([^<]*)", (finished / "report.html").read_text())
    assert [caption.split("/")[0] for caption in captions] == ["val_epoch_002", "test"]


def test_curves_show_every_epoch_beside_zero_forces(finished):
    svg = re.search(r"<svg.*?</svg>", (finished / "report.html").read_text(), re.DOTALL).group()
    labels = {unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)}
    assert {"val", "val, zero forces", "full", "full, zero forces", "epoch", "force MAE (meV/Å)"} <= labels
    errors = svg[: svg.index("force MAE")]
    assert len(set(re.findall(r">([\d.]+)</text>", errors)) - {"0", "1", "2"}) >= 2, (
        "no ticks on the axis of errors"
    )
    assert "currentColor" in svg and "#010203" not in svg


@pytest.mark.parametrize("missing", ["metrics.csv", "config.yaml", "scans_val.csv", "figures"])
def test_a_page_without_some_of_the_files(finished, tmp_path, missing):
    folder = shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns(missing, "checkpoints"))
    before = (folder / "report.html").read_text()
    assert write_run_page(folder).read_text() != before


def test_a_run_that_failed_before_its_first_epoch(tmp_path):
    empty = {"status": "failed", "reason": "MemoryError: <planted>", "metrics": {}, "cost": {}, "data": {}}
    folder = write_record(tmp_path, [], **empty, best={})
    record = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps(record | {"metrics": {}}))
    text = write_run_page(folder).read_text()
    assert "MemoryError: &lt;planted&gt;" in text and "No epoch was validated" in text


def test_what_is_written_in_overrides_stays_text(tmp_path):
    folder = write_record(tmp_path, [HOSTILE])
    text = write_run_page(folder).read_text()
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt; &amp;") >= 2


def test_a_page_that_cannot_be_written_harms_no_run(tmp_path, monkeypatch):
    def broken(folder):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(callback, "write_run_page", broken)
    with pytest.warns(UserWarning, match="no report.html: ZeroDivisionError: planted; later: mlip-design report"):
        tiny_run.run([*tiny_run.inputs(), "trainer.max_epochs=1"], tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["status"] == "finished"
    assert not (tmp_path / "report.html").exists()
