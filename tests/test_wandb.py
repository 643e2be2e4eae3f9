"""What a run leaves for Weights & Biases, read from the offline run's own files, and for TensorBoard. No network."""

import csv
import json
import signal
from pathlib import Path

import pytest
import tiny_run
from wandb_files import apart, finished_records, history, summary

from callbacks.bsct import logged_keys
from mlip_design.bsct import load_scans

KEY = "val/bsct/full_smoothness"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Folder of a finished run of three epochs that logged to W&B, with its default mode, and figures each epoch."""
    folder = tmp_path_factory.mktemp("runs") / "wandb_run"
    overrides = ["logger=wandb", "trainer.max_epochs=3", "callbacks.bsct.draw_every=1", "logger.group=study"]
    words = [*tiny_run.inputs(), *overrides, f"hydra.run.dir={folder}"]
    process = tiny_run.command(*words, environment=apart(folder.parent))
    assert tiny_run.finish(process) == 0
    return folder


@pytest.fixture(scope="module")
def run_folder(folder) -> Path:
    """The one folder of the offline run."""
    (run_folder,) = (folder / "wandb").glob("offline-run-*")
    return run_folder


@pytest.fixture(scope="module")
def records(run_folder) -> list:
    """All records of its file."""
    (path,) = run_folder.glob("run-*.wandb")
    return finished_records(path)


def test_series_over_epochs(records, folder):
    """Every value of metrics.csv, one record an epoch."""
    found = {entry["epoch"]: entry for entry in history(records) if KEY in entry}
    with open(folder / "metrics.csv", newline="") as file:
        rows = {int(row["epoch"]): row for row in csv.DictReader(file)}
    assert list(found) == list(rows) == [0, 1, 2]
    for epoch, row in rows.items():
        for name in (*logged_keys(load_scans(tiny_run.option("scans.val.root"))), "val/forces_mae", "train/loss"):
            assert found[epoch][name] == pytest.approx(float(row[name])), name


def test_validation_is_plotted_over_epochs(records):
    defined = {record.metric.name: record.metric for record in records if record.HasField("metric")}
    assert "epoch" in defined
    errors = ["val/forces_mae", "val/energy_mae_per_atom"]
    for key in (*errors, *logged_keys(load_scans(tiny_run.option("scans.val.root")))):
        assert defined[key].step_metric == "epoch"
        assert defined[key].summary.min and defined[key].summary.last


def test_summary_has_best_and_last(records, folder):
    found = summary(records)
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for key in (KEY, "val/forces_mae"):
        values = [float(row[key]) for row in rows]
        assert found[key] == {"min": pytest.approx(min(values)), "last": pytest.approx(values[-1])}
    result = json.loads((folder / "results.json").read_text())
    assert found["status"] == "finished" and found["best/epoch"] == result["best"]["epoch"]
    assert found[f"best/{KEY}"] == pytest.approx(result["best"][KEY])
    assert found["cost/parameters"] == result["cost"]["parameters"]
    assert found["test/forces_mae"] == pytest.approx(result["metrics"]["test/forces_mae"])


def test_figures_and_table_of_every_evaluation(records, run_folder):
    """Images and a table with one row a scan, placed at their epoch, and the files that they name."""
    drawn = [entry for entry in history(records) if "val/bsct/worst_1/path" in entry]
    assert [entry["epoch"] for entry in drawn] == [0, 1, 2]
    saved = {file.path for record in records if record.HasField("files") for file in record.files.files}
    scans = load_scans(tiny_run.option("scans.val.root"))
    for entry in drawn:
        assert entry["val/bsct/worst_1/_type"] == "image-file"
        assert entry["val/bsct/scans/_type"] == "table-file"
        image, table = entry["val/bsct/worst_1/path"], entry["val/bsct/scans/path"]
        assert {image, table} <= saved
        assert (run_folder / "files" / image).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        content = json.loads((run_folder / "files" / table).read_text())
        assert {"scan", "bond", "full_smoothness", "zero_full_smoothness"} <= set(content["columns"])
        assert sorted(row[0] for row in content["data"]) == sorted(scan.name for scan in scans)
    assert any("test/bsct/worst_1/path" in entry for entry in history(records))


def test_runs_are_grouped(records):
    (run,) = [record.run for record in records if record.HasField("run")][:1]
    assert (run.run_group, run.project) == ("study", "mlip-design")


def test_configuration_and_exit_code(records):
    config = {}
    for record in records:
        for update in [*record.config.update, *record.run.config.update]:
            config[update.key] = json.loads(update.value_json)
    assert config["model"]["backbone"]["n_features"] == 16
    (end,) = [record.exit for record in records if record.HasField("exit")]
    assert end.exit_code == 0


def test_failed_run_has_another_exit_code(tmp_path):
    overrides = [
        "logger=wandb",
        "optimizer.lr=1e30",
        "trainer.gradient_clip_val=null",
        f"hydra.run.dir={tmp_path}",
    ]
    process = tiny_run.command(*tiny_run.inputs(), *overrides, environment=apart(tmp_path))
    assert tiny_run.finish(process) == 1
    (path,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    records = finished_records(path)
    assert [record.exit.exit_code for record in records if record.HasField("exit")] == [1]
    assert json.loads((tmp_path / "results.json").read_text())["status"] == "diverged"
    found = summary(records)
    assert found["status"] == "diverged" and "training loss became" in found["reason"]


def test_a_resumed_run_is_the_same_wandb_run(tmp_path):
    folder, environment = tmp_path / "run", apart(tmp_path)
    words = [*tiny_run.inputs(), "logger=wandb", *tiny_run.disturb("on_train_batch_end", 5, "SIGKILL")]
    process = tiny_run.command(*words, f"hydra.run.dir={folder}", environment={**environment, "DISTURB": "1"})
    assert tiny_run.finish(process) == -signal.SIGKILL
    assert tiny_run.finish(tiny_run.command(f"resume={folder}", environment=environment)) == 0
    first, second = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))
    records = finished_records(second)
    (run,) = [record.run for record in records if record.HasField("run")]
    assert first.name == second.name == f"run-{run.run_id}.wandb"  # all that a killed writer is sure to leave
    epochs = [entry["epoch"] for entry in history(records) if "val/forces_mae" in entry]
    assert epochs == [1]


def test_mode_reaches_wandb(tmp_path):
    """`logger.mode` is what `wandb.init` gets; offline unless told otherwise."""
    from hydra.utils import instantiate

    for overrides, mode in ((["logger=wandb"], "offline"), (["logger=wandb", "logger.mode=online"], "online")):
        logger = instantiate(tiny_run.compose(overrides, tmp_path).logger)
        assert logger._wandb_init["mode"] == mode
        assert logger._wandb_init["project"] == "mlip-design"


def test_tensorboard(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tiny_run.run([*tiny_run.inputs(), "logger=tensorboard"], tmp_path)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    with open(tmp_path / "metrics.csv", newline="") as file:
        expected = [float(row[KEY]) for row in csv.DictReader(file)]
    assert [event.value for event in events.Scalars(KEY)] == pytest.approx(expected)
    assert {"val/bsct/worst_1", "test/bsct/worst_1"} <= set(events.Tags()["images"])
