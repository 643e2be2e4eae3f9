"""A sweep in Weights & Biases: its summary run, read from the offline run's file, and the workspace, never saved."""

import json
from pathlib import Path

import pytest
import tiny_run
from test_report_sweep import POINTS, write_sweep
from wandb_files import apart, finished_records, history, summary

from callbacks import wandb_sweep
from callbacks.bsct import logged_keys
from mlip_design.bsct import load_scans
from mlip_design.report.write import write_reports
from mlip_design.selection import compare, load_runs

RESULTS = ("cost/seconds_per_step", "train/loss", "val/forces_mae", "val/energy_mae_per_atom")
"""What panels may name beside smoothness."""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """Folder of a sweep, its pages and its summary run."""
    folder = write_sweep(tmp_path_factory.mktemp("sweeps") / "study")
    write_reports(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in apart(folder.parent).items():
            patch.setenv(name, value)
        assert wandb_sweep.main([str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def records(sweep) -> list:
    """All records of its file."""
    (path,) = sweep.glob("wandb/offline-run-*/run-*.wandb")
    return finished_records(path)


def test_the_summary_run_is_in_the_group_of_the_trials(records):
    (run,) = [record.run for record in records if record.HasField("run")][:1]
    assert (run.run_group, run.display_name, run.job_type) == ("study", "study summary", "sweep")
    assert [record.exit.exit_code for record in records if record.HasField("exit")] == [0]


def test_the_table_holds_every_variant(sweep, records):
    (path,) = {entry["variants/path"] for entry in history(records) if "variants/path" in entry}
    (files,) = sweep.glob("wandb/offline-run-*/files")
    table = json.loads((files / path).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["val FSD, 1/Å"] for row in rows] == pytest.approx([40, 20, 30, 10, 60])
    assert [row["front"] for row in rows] == [True, True, False, True, False]
    assert [bool(row["warnings"]) for row in rows] == [False] * 4 + [True]
    assert {row["seeds"] for row in rows} == {2} and len(rows) == len(POINTS)


def test_the_summary_says_what_was_picked(sweep, records):
    found, selection = summary(records), compare(load_runs([sweep])[0])
    assert found["sweep/hypervolume"] == pytest.approx(selection.hypervolume)
    assert (found["sweep/runs"], found["sweep/left_out"]) == (10, 2)
    assert found["pick/knee"] == selection.picks["knee"].variants[0]
    assert found["pick/knee/reason"] == selection.picks["knee"].reason


def test_the_page_is_sent_along(sweep, records):
    (path,) = {entry["report/path"] for entry in history(records) if "report/path" in entry}
    (files,) = sweep.glob("wandb/offline-run-*/files")
    assert (files / path).read_bytes() == (sweep / "report.html").read_bytes()


def test_bad_input(tmp_path, capsys):
    for arguments, message in (([str(tmp_path)], "no run here"), (["--mode", "on", "x"], "invalid choice: 'on'")):
        assert wandb_sweep.main(arguments) == 2
        printed = capsys.readouterr().err
        assert message in printed and printed.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture
def wandb_workspace():
    pytest.importorskip("wandb_workspaces")
    from callbacks import wandb_workspace

    return wandb_workspace


def named_metrics(panels: list[dict]) -> set[str]:
    """Metrics that panels name, in the form in which runs log them."""
    found = set()
    for panel in panels:
        config = panel["config"]
        names = [*(config.get("metrics") or []), *(config.get("media_keys") or [])]
        names += [config.get(key) for key in ("x_axis", "y_axis", "z_axis", "target_key")]
        names += [column["accessor"] for column in config.get("columns") or []]
        found |= {name for name in names if name}
    return {name.removeprefix("summary:").removesuffix(".last") for name in found} - {"epoch"}


def unknown_metrics(panels: list[dict]) -> set[str]:
    """Those that no run logs; other validation splits and the configuration are left out."""
    logged = {*RESULTS, *logged_keys(load_scans(tiny_run.option("scans.val.root")))}
    logged |= {f"{stage}/bsct/worst_{place}" for stage in ("val", "test") for place in (1, 2)}
    named = {name.replace("val_new/", "val/") for name in named_metrics(panels)}
    return {name for name in named - logged if not name.startswith("config:")}


def test_the_workspace_names_what_runs_log(wandb_workspace):
    workspace = wandb_workspace.build_workspace("someone", "mlip-design", "view")
    view = json.loads(workspace._to_model().model_dump_json())
    sections = view["spec"]["section"]["panel_bank_config"]["sections"]
    assert [section["name"] for section in sections] == ["Trade-off", "Smoothness", "Accuracy", "Scans"]
    panels = [panel for section in sections for panel in section["panels"]]
    assert {"val/bsct/zero_full_smoothness", "val/forces_mae"} <= named_metrics(panels)
    assert unknown_metrics(panels) == set()
    wrong = {"config": {"metrics": ["val/bsct/full_smothness"]}}
    assert unknown_metrics([*panels, wrong]) == {"val/bsct/full_smothness"}


def test_the_workspace_is_saved_once(wandb_workspace, monkeypatch, capsys):
    saved, address = [], "https://wandb.ai/someone/study?nw=abc"
    monkeypatch.setattr(wandb_workspace.workspaces.Workspace, "save", lambda workspace: saved.append(workspace))
    monkeypatch.setattr(wandb_workspace.workspaces.Workspace, "url", address)
    assert wandb_workspace.main(["someone", "--project", "study"]) == 0
    (workspace,) = saved
    assert (workspace.entity, workspace.project) == ("someone", "study")
    assert capsys.readouterr().out == f"{address}\n"
    assert wandb_workspace.main([]) == 2 and len(saved) == 1


def test_the_workspace_needs_an_account(wandb_workspace, monkeypatch, capsys):
    def save(workspace):
        raise wandb_workspace.wandb.errors.UsageError("No API key configured")

    monkeypatch.setattr(wandb_workspace.workspaces.Workspace, "save", save)
    assert wandb_workspace.main(["someone"]) == 2
    assert capsys.readouterr().err == "error: No API key configured\n"
