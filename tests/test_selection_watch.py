"""`mlip-design watch`: what the records of a folder say while its runs train."""

import os
import time

import pytest
from run_records import write_points, write_record

from mlip_design.cli import main
from mlip_design.selection import watch

RUNNING = {"status": "stopped", "reason": "still running or killed: 1 of 4 epochs done", "budget": {"epochs": 4}}


def write_history(folder, n_epochs: int, seconds: float) -> None:
    """A metrics.csv of so many epochs that took so long together."""
    rows = [f"{epoch},{seconds * (epoch + 1) / n_epochs}" for epoch in range(n_epochs)]
    (folder / "metrics.csv").write_text("\n".join(["epoch,seconds", *rows]) + "\n")


@pytest.fixture
def sweep(tmp_path):
    """Three finished runs, one of them beaten; one that failed; one that runs; one that has said nothing for long."""
    write_points(tmp_path, [(0.1, 40.0), (0.2, 30.0), (0.3, 35.0)])
    write_record(tmp_path / "3", ["model=m3"], status="failed", reason="MemoryError: planted")
    for name, age in (("4", 5.0), ("10", 4000.0)):
        folder = write_record(tmp_path / name, [f"model=m{name}"], 0.5, None, **RUNNING)
        write_history(folder, 1, 100.0)
        os.utime(folder / "results.json", (time.time() - age, time.time() - age))
    return tmp_path


def lines(text: str) -> dict[str, list[str]]:
    """Words of the rows of the table, by the name of the trial."""
    rows = [line.replace("*", "* ").split() for line in text.splitlines() if "model=" in line]
    return {row[1] if row[0] == "*" else row[0]: row for row in rows}


def test_trials_as_they_stand(sweep, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["watch", str(sweep), "--once"]) == 0
    printed = capsys.readouterr().out
    rows = lines(printed)
    assert list(rows) == ["0", "1", "2", "3", "4", "10"]
    assert [name for name, row in rows.items() if row[0] == "*"] == ["0", "1"]
    assert rows["1"] == ["*", "1", "model=m1", "1", "finished", "0/2", "200.0", "30.0"]
    assert rows["3"][3] == "failed"
    assert rows["4"] == ["4", "model=m4", "1", "running", "1/4", "500.0", "-", "5", "min"]
    assert rows["10"][3:6] == ["silent", "67", "min"] and rows["10"][-1] == "-"
    said = " ".join(printed.split())
    assert "6 trials: 1 failed, 3 finished, 1 running, 1 silent; * front so far: 0, 1;" in said
    assert "those that run need about 5 min more" in said


def test_a_third_objective_puts_a_trial_on_the_front(sweep, capsys):
    write_record(sweep / "2", ["model=m2"], 0.3, 35.0, cost={"seconds": 1.0})
    assert main(["watch", str(sweep), "--once", "--also", "cost/seconds"]) == 0
    assert "front so far: 0, 1, 2;" in " ".join(capsys.readouterr().out.split())


def test_time_left_is_that_of_the_epochs_to_come(sweep):
    trials, _ = watch.read_trials(sweep)
    left = {trial.run.folder.name: trial.left for trial in trials}
    assert left["4"] == pytest.approx(300 - 5, abs=2)
    assert all(left[name] != left[name] for name in ("0", "3", "10"))


def test_it_is_drawn_again_until_ctrl_c(sweep, capsys, monkeypatch):
    """The second time, the failed run has become a finished one on the front."""
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt
        write_record(sweep / "3", ["model=m3"], 0.05, 1.0)

    monkeypatch.setattr(watch.time, "sleep", sleep)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["watch", str(sweep), "--every", "7"]) == 0
    printed = capsys.readouterr().out
    assert slept == [7, 7] and "front so far: 0, 1" in printed and "front so far: 3" in printed


def test_a_folder_before_its_first_trial_and_one_that_cannot_be_read(tmp_path, capsys):
    assert main(["watch", str(tmp_path), "--once"]) == 0
    assert "no trial has begun yet" in capsys.readouterr().out
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "results.json").write_text("{")
    assert main(["watch", str(tmp_path), "--once"]) == 0
    assert "cannot be read: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["FOLDER", "--x", "val/force_mae"], "did you mean val/forces_mae?"),
        (["FOLDER", "--every", "0"], "must be at least 1"),
    ],
)
def test_bad_input_is_one_line(sweep, capsys, arguments, words):
    arguments = [str(sweep) if argument == "FOLDER" else argument for argument in arguments]
    assert main(["watch", *arguments, "--once"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and words in printed.err and printed.err.count("\n") == 1
