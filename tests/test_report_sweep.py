"""The page of a sweep: every number from the comparison, every run one click away, nothing from elsewhere."""

import json
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from run_records import write_record
from test_report_run import HOSTILE, Cells, outside_references

from mlip_design import cli
from mlip_design.report.sweep import metric_options
from mlip_design.report.write import write_reports
from mlip_design.selection import compare, load_runs

POINTS = {"a": (0.10, 40.0), "b": (0.20, 20.0), "c": (0.30, 10.0), "d": (0.25, 30.0), "e": (0.6, 60.0)}


def write_sweep(folder: Path) -> Path:
    """Five variants of two seeds, e both trivial and rough, d beaten by b alone; a failed run, a corrupt record."""
    for i, (name, (x, y)) in enumerate(POINTS.items()):
        for seed in (1, 2):
            shift = 1 + 0.02 * (seed - 1.5)
            overrides = [f"model={name}", f"model.basis.width={i % 2 + 1}"]
            write_record(folder / f"{2 * i + seed - 1}", overrides, x * shift, y * shift, seed)
    write_record(folder / "10", ["model=f", HOSTILE], None, None, status="failed", reason="MemoryError: <b>")
    (folder / "11").mkdir()
    (folder / "11" / "results.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """Folder of a sweep with its pages."""
    folder = write_sweep(tmp_path_factory.mktemp("sweeps") / "a sweep & more")
    assert cli.main(["report", str(folder)]) == 0
    return folder


def figures(folder: Path) -> dict:
    """The figures of a page, by name."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'id="figures">(.*?)</script>', text, re.DOTALL).group(1))


def trace(figure: dict, name: str) -> dict:
    return next(trace for trace in figure["data"] if trace.get("name") == name)


def test_one_file_without_network(sweep):
    page = sweep / "report.html"
    assert 3e6 < page.stat().st_size < 8e6
    own = re.sub(r"<script>\s*/\*\*\s*\* plotly.js.*?</script>", "", page.read_text(), flags=re.DOTALL)
    assert len(own) < 2e5
    assert outside_references(own) == []


def test_every_run_has_a_page(sweep):
    pages = {path.parent.name for path in sweep.glob("*/report.html")}
    assert pages == {str(i) for i in range(11)}


def test_points_of_the_front_are_drawn(sweep):
    pareto = figures(sweep)["pareto"]
    assert trace(pareto, "front")["x"] == pytest.approx([100, 200, 300])  # meV/Å
    assert trace(pareto, "front")["y"] == pytest.approx([40, 20, 10])
    assert trace(pareto, "beaten")["x"] == pytest.approx([250])
    assert trace(pareto, "with a warning")["x"] == pytest.approx([600])
    assert len(trace(pareto, "single seeds")["x"]) == 10
    knee = compare(load_runs([sweep])[0]).picks["knee"].variants
    assert len(knee) == len(trace(pareto, "pick of knee")["x"]) == 1


def test_points_lead_to_the_pages_of_their_runs(sweep):
    pareto = figures(sweep)["pareto"]
    front, seeds = trace(pareto, "front"), trace(pareto, "single seeds")
    assert [unquote(link) for link in front["customdata"]] == [f"{run}/report.html" for run in (0, 2, 4)]
    for x, link in zip(seeds["x"], seeds["customdata"], strict=True):
        record = json.loads((sweep / unquote(link)).with_name("results.json").read_text())
        assert 1000 * record["metrics"]["val/forces_mae"] == pytest.approx(x)


def test_intervals_are_those_of_the_seeds(sweep):
    """Student's 95 % interval of two seeds: 12.706 standard errors."""
    front = trace(figures(sweep)["pareto"], "front")
    assert front["error_x"]["array"][0] == pytest.approx(12.7062 * 1.0, rel=1e-4)
    low, high = figures(sweep)["pareto"]["layout"]["xaxis"]["range"]
    assert low < 99 and 606 < high < 700


def test_tables_hold_every_variant_and_what_was_left_out(sweep):
    rows = Cells(sweep / "report.html").rows
    variants = {row[0]: row for row in rows if len(row) > 10}
    marks = ["front epsilon", "front knee", "", "front", "warning"]
    assert [variants[str(i)][2] for i in range(1, 6)] == marks
    assert variants["3"][-1] == "2" and variants["3"][4] == "250.0"
    reasons = {row[0]: row[1] for row in rows if len(row) == 2}
    assert reasons["10"] == "failed: MemoryError: <b>"
    assert reasons["11/results.json"].startswith("not a record of a run")


def test_commands_warnings_and_held_out_values(sweep):
    text = unescape((sweep / "report.html").read_text())
    selection = compare(load_runs([sweep])[0])
    for label in selection.front:
        assert f'<pre class="command">{selection[label].command}</pre>' in text
    assert "trivial: force MAE 600.0 meV/Å" in text and "rough: FSD 60.0 1/Å" in text
    assert "test force MAE" in text and "110.0" in text


def test_importance_and_parallel_axes(sweep):
    found = figures(sweep)
    expected = compare(load_runs([sweep])[0]).importance
    (bars,) = [bar for bar in found["importance"]["data"] if bar["name"] == "val force MAE"]
    assert set(bars["y"]) == {"model", "width"} == {key.split(".")[-1] for key in expected}
    width = expected["model.basis.width"]["val/forces_mae"]
    assert bars["x"][bars["y"].index("width")] == pytest.approx(100 * width)
    axes = found["parallel"]["data"][0]["dimensions"]
    assert [axis["label"] for axis in axes] == ["model", "width", "val force MAE, meV/Å", "val FSD, 1/Å"]
    assert axes[0]["ticktext"] == list(POINTS)
    names = [axes[0]["ticktext"][place] for place in axes[0]["values"]]
    np.testing.assert_allclose(axes[3]["values"], [POINTS[name][1] for name in names])


def test_hostile_words_stay_text(tmp_path):
    for i, note in enumerate([HOSTILE, "model.note=</script><img src=x onerror=alert(1)>"]):
        write_record(tmp_path / str(i), [note], 0.1 + 0.1 * i, 20.0 - i)
    write_reports(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "<img src=x" not in text and "<script>alert" not in text
    hover = " ".join(trace(figures(tmp_path)["pareto"], "front")["hovertext"])
    assert "<img" not in hover and "&lt;img" in hover


def test_one_variant_of_one_seed(tmp_path):
    write_record(tmp_path / "0", ["model=a"])
    (page, whole) = write_reports(tmp_path)
    assert (page, whole) == (tmp_path / "0" / "report.html", tmp_path / "report.html")
    assert set(figures(tmp_path)) == {"pareto"}
    assert "No variant was trained with more than one seed" in whole.read_text()


def test_a_run_folder(tmp_path, capsys):
    folder = write_record(tmp_path / "run", ["model=a"])
    assert cli.main(["report", str(folder), "--json", str(tmp_path / "pages.json")]) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert json.loads((tmp_path / "pages.json").read_text()) == {"pages": [str(folder / "report.html")]}


@pytest.mark.parametrize(
    ("prepare", "options", "message"),
    [
        (lambda folder: None, [], "no run here"),
        (lambda folder: (folder / "results.json").write_text("{"), [], "results.json: not a record of a run"),
        (write_sweep, ["--y", "val/bsct/full_smothness"], "did you mean val/bsct/full_smoothness"),
        (lambda folder: write_record(write_sweep(folder) / "12", ["model=g"], budget={"epochs": 9}), [], "epochs"),
    ],
    ids=["no run", "corrupt", "unknown metric", "unequal budget"],
)
def test_bad_input_writes_nothing(tmp_path, capsys, prepare, options, message):
    prepare(tmp_path)
    assert cli.main(["report", str(tmp_path), *options]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1 and message in printed.err
    assert not list(tmp_path.rglob("report.html"))


def test_mixed_runs_when_allowed(tmp_path):
    write_record(write_sweep(tmp_path) / "12", ["model=g"], budget={"epochs": 9})
    assert cli.main(["report", str(tmp_path), "--allow-mixed"]) == 0
    assert "epochs: 2 in 10 runs" in (tmp_path / "report.html").read_text()


def test_a_third_objective_has_its_column_and_its_axis(tmp_path):
    """And the line through the front goes by the two that are drawn."""
    for name, x, y, seconds in (("a", 0.1, 20.0, 0.9), ("b", 0.2, 30.0, 0.1), ("c", 0.3, 10.0, 0.5)):
        write_record(tmp_path / name, [f"model={name}"], x, y, cost={"seconds_per_step": seconds, "parameters": 9})
    assert cli.main(["report", str(tmp_path), "--also", "cost/seconds_per_step"]) == 0
    drawn = figures(tmp_path)
    assert [d["label"] for d in drawn["parallel"]["data"][0]["dimensions"]][-1] == "time a step, ms"
    assert trace(drawn["pareto"], "front")["x"] == pytest.approx([100, 200, 300])
    line = next(one for one in drawn["pareto"]["data"] if one["mode"] == "lines")
    assert line["x"] == pytest.approx([100, 300])
    assert "3 variants by val force MAE and val FSD and time a step" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("objectives", "options"),
    [
        (["val/bsct/full_smoothness", "val/forces_mae"], []),
        (["val/bsct/full_smoothness", "val/forces_mae", "cost/seconds"], ["--also=cost/seconds"]),
        (["val/forces_mae", "cost/seconds"], ["--y=cost/seconds"]),
        (["val/bsct/full_smoothness", "a", "b"], ["--x=a", "--also=b"]),
        (["a", "b", "c"], ["--x=a", "--y=b", "--also=c"]),
        (["val/forces_mae"], []),
    ],
)
def test_a_search_by_other_objectives_is_compared_by_them(objectives, options):
    assert metric_options(objectives) == options
