"""Predictions along scans: never stale, resumed after a kill, spread over processes, never a silent NaN."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
from checkpoints import contents, saved
from test_build_scans_failures import alive, wait_for

from mlip_design import dependencies, evaluator
from mlip_design.bsct import PUBLISHED_KEYS
from mlip_design.bsct.predict import Model, evaluator_of, predict
from mlip_design.bsct.scoring import score
from mlip_design.cli import main
from mlip_design.evaluator import open_evaluator
from mlip_design.stored_model import BEST

TESTS = Path(__file__).parent


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of its own for every test."""
    monkeypatch.setenv("MLIP_DESIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "predictions"


@pytest.fixture(scope="module")
def scans():
    """Five scans of twenty frames."""
    return tiny_run.few_scans()


@pytest.fixture(scope="module")
def data(scans, tmp_path_factory) -> Path:
    """The same on disk."""
    return tiny_run.write_scans(scans, tmp_path_factory.mktemp("data") / "scans")


def logging(folder: Path, seconds: float = 0.0) -> Model:
    return Model("scoring_calculators:Held", (f"folder={folder}", f"seconds={seconds}"))


def failing(**arguments) -> Model:
    return Model("scoring_calculators:Failing", tuple(f"{key}={value}" for key, value in arguments.items()))


def same(one, other) -> bool:
    return all(
        np.array_equal(a.energies, b.energies) and np.array_equal(a.forces, b.forces)
        for a, b in zip(one.predicted, other.predicted, strict=True)
    )


def test_the_second_time_nothing_is_computed(scans, tmp_path):
    model = logging(tmp_path)
    first, second = predict(model, scans), predict(model, scans)
    assert len((tmp_path / "log").read_text().splitlines()) == 100
    assert (first.n_known, second.n_known) == (0, 100)
    assert same(first, second)


def test_a_part_is_known_from_the_whole(scans, tmp_path):
    model = logging(tmp_path)
    predict(model, scans)
    assert predict(model, scans[1:3]).n_known == 40


def test_other_positions_are_computed(scans, tmp_path):
    model = logging(tmp_path)
    predict(model, scans[:1])
    moved = tiny_run.every(scans[0], 1)
    moved.positions[13, 0, 0] += 1e-12
    assert predict(model, [moved]).n_known == 10


def test_a_checkpoint_trained_further_is_another_model(scans, tmp_path):
    """The same path, other weights: what tools that go by the path get wrong."""
    path, content = tmp_path / "model.ckpt", contents()
    torch.save(content, path)
    model = Model(str(path))
    first = predict(model, scans[:1])
    for value in content["state_dict"].values():
        if value.is_floating_point() and value.ndim == 2:
            value *= 1.01
    torch.save(content, path)
    evaluator_of.cache_clear()
    second = predict(model, scans[:1])
    assert second.n_known == 0
    assert not same(first, second)


@pytest.mark.parametrize("junk", [b"", b"PK\x03\x04 junk"])
def test_a_damaged_file_is_computed_again(scans, tmp_path, cache, junk):
    model = logging(tmp_path)
    first = predict(model, scans[:1])
    damaged, *_ = cache.glob("*/*.npz")
    damaged.write_bytes(junk)
    second = predict(model, scans[:1])
    assert second.n_known == 10
    assert same(first, second)


def test_a_cache_that_cannot_be_written(scans, tmp_path, cache):
    cache.parent.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="the cache cannot be written") as caught:
        assert predict(logging(tmp_path), scans).n_known == 0
    assert len(caught) == 1


def test_processes_change_nothing(scans, tmp_path, monkeypatch):
    monkeypatch.setenv("MLIP_DESIGN_CACHE", str(tmp_path / "one"))
    one = predict(logging(tmp_path, 0.02), scans)
    monkeypatch.setenv("MLIP_DESIGN_CACHE", str(tmp_path / "two"))
    (tmp_path / "log").unlink()
    two = predict(logging(tmp_path, 0.02), scans, workers=2)
    calls = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert len({process for process, _ in calls}) == 2
    assert str(os.getpid()) not in {process for process, _ in calls}
    assert {threads for _, threads in calls} == {"1"}
    assert len(calls) == 100
    assert same(one, two)


def test_a_process_that_dies_is_one_line(data, capsys):
    arguments = ["bsct", "scoring_calculators:Deadly", "--data", str(data), "--workers", "2"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert "killed" in error


def test_killed_and_taken_up_again(data, tmp_path, cache):
    """kill -9 in the middle: what was computed is not again, and the result is that of a run without a kill."""
    arguments = ["bsct", "scoring_calculators:Held", "--data", str(data), "--out", str(tmp_path / "out")]
    arguments += ["--calculator-args", f"folder={tmp_path}", "--workers", "2"]
    (tmp_path / "hold").write_text("60")
    command = [sys.executable, "-m", "mlip_design", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(cache.glob("*/*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (tmp_path / "hold").unlink()
    assert not (tmp_path / "out").exists()
    log = tmp_path / "log"
    workers = {int(line.split()[0]) for line in log.read_text().splitlines()}
    wait_for(lambda: not any(map(alive, workers)))
    computed = len(log.read_text().splitlines())
    assert 30 <= computed < 100

    assert main(arguments) == 0
    facts = json.loads((tmp_path / "out" / "result.json").read_text())
    assert facts["frames_from_cache"] >= 30
    assert len(log.read_text().splitlines()) == computed + 100 - facts["frames_from_cache"]
    morse = score(Model("scoring_calculators:Morse"), data).facts
    assert facts["keys"] == morse["keys"]


@pytest.mark.parametrize(
    "how, reason",
    [
        ("raise", "CalculationFailed: SCF not converged in 50 steps"),
        ("nan", "are not finite"),
        ("process", "CalledProcessError: Command 'orca' returned non-zero exit status 1."),
        ("mistake", "KeyError: 'energies'"),
        ("flat", "ValueError: forces of shape (7,), expected ("),
        ("energies", "ValueError: energy of shape (2,), expected ()"),
    ],
)
def test_failures_are_named_and_never_averaged(data, how, reason):
    """Of one system; the others keep their mean, and there is no published one."""
    whole = score(Model("scoring_calculators:Morse"), data).facts
    facts = score(failing(how=how, elements="P"), data).facts
    (name,) = facts["failed"]
    assert "20 of 20 frames, the first is frame 0" in facts["failed"][name] and reason in facts["failed"][name]
    assert facts["count"] == 4 and facts["systems"][name]["failure"] == facts["failed"][name]
    assert facts["systems"][name]["full_smoothness"] is None
    others = [system["full_smoothness"] for other, system in whole["systems"].items() if other != name]
    for key in PUBLISHED_KEYS:
        assert facts["keys"][key]["published_mean"] is None
    assert facts["keys"]["full_smoothness"]["mean"] == pytest.approx(sum(others) / 4, rel=1e-12)
    assert facts["keys"]["full_smoothness"]["mean"] != whole["keys"]["full_smoothness"]["mean"]
    assert any("1 of 5 systems have no usable prediction" in warning for warning in facts["warnings"])


def test_a_part_of_the_frames_fails(data):
    """What the bad frames do not enter is kept in the system's entry."""
    facts = score(failing(how="nan", longest=6.5), data).facts
    some = [system for system in facts["systems"].values() if system["failure"]]
    assert some and any(system["compress_smoothness"] is not None for system in some)
    assert all(system["full_smoothness"] is None for system in some)
    assert facts["count"] == 5 - len(some)


def test_forces_beyond_all_bounds(data):
    """Finite, but their squares are not."""
    facts = score(failing(how="huge", elements="P"), data).facts
    assert list(facts["failed"].values()) == ["forces are too large to score"]


@pytest.mark.parametrize(
    "how, reason", [("nan", "energy or forces are not finite"), ("mistake", "KeyError: 'energies'")]
)
def test_no_usable_prediction_at_all(data, capsys, how, reason):
    arguments = ["--calculator-args", f"how={how}", "--data", str(data)]
    assert main(["bsct", "scoring_calculators:Failing", *arguments]) == 1
    printed = capsys.readouterr().out
    assert "0 of 5 systems" in printed and printed.count(f"frame 0: {reason}") == 5


def test_failures_are_tried_again(scans, tmp_path):
    model = failing(how="raise")
    predict(model, scans[:1])
    assert predict(model, scans[:1]).n_known == 0


def test_failures_are_tried_again_alone(scans, monkeypatch):
    """What other frames of the same file gave is kept, and a calculator that was mended completes it."""
    model = failing(how="raise", longest=6.5)
    first = predict(model, scans)
    n_failed = sum(len(made.failures) for made in first.predicted)
    assert 0 < n_failed < 100
    again = predict(model, scans)
    assert again.n_known == 100 - n_failed
    for one, other in zip(first.predicted, again.predicted, strict=True):
        assert one.failures == other.failures
        np.testing.assert_array_equal(one.forces, other.forces)
    monkeypatch.setattr(evaluator_of(model).calculator, "longest", np.inf)
    mended = predict(model, scans)
    assert mended.n_known == 100 - n_failed
    assert same(mended, predict(Model("scoring_calculators:Morse"), scans))
    assert predict(model, scans).n_known == 100


def test_the_fingerprint_is_that_of_the_evaluator(scans):
    model = Model("scoring_calculators:Morse")
    assert evaluator_of(model).fingerprint == open_evaluator(model.name).fingerprint


def test_a_block_whose_code_was_changed_is_another_model(tmp_path, monkeypatch):
    file = str(saved(tmp_path / "model.ckpt"))
    before = open_evaluator(file).fingerprint
    shutil.copytree(evaluator.PACKAGE, tmp_path / "package", ignore=shutil.ignore_patterns("data", "__pycache__"))
    monkeypatch.setattr(evaluator, "PACKAGE", tmp_path / "package")
    assert open_evaluator(file).fingerprint == before
    with open(tmp_path / "package" / "blocks" / "envelope" / "bump.py", "a") as block:
        block.write("# edited")
    assert open_evaluator(file).fingerprint != before


def test_a_calculator_of_a_retrained_run_folder_is_another_model(tmp_path):
    file = saved(tmp_path / BEST)
    name, arguments = "mlip_design.calculator:MLIPCalculator.from_checkpoint", [f"path={tmp_path}"]
    before = open_evaluator(name, arguments).fingerprint
    assert open_evaluator(name, arguments).fingerprint == before
    saved(file, epoch=4)
    assert open_evaluator(name, arguments).fingerprint != before


OWN_FILES = {
    "own_model.py": "from own_parts.make import make\n\ncalculator = make('bound.dat')\n",
    "own_parts/__init__.py": "",
    "own_parts/make.py": """
from functools import partial

from ase.calculators.morse import MorsePotential

from .settings import DEPTH


def made(bound, files, pattern):
    return MorsePotential(epsilon=DEPTH)


def make(bound):
    return partial(made, bound)
""",
    "own_parts/settings.py": "DEPTH = 1.0\n",
    **dict.fromkeys(("bound.dat", "listed.dat", "part_1.dat", "part_2.dat", "other.dat"), ""),
}
"""A partial of a function of another module, in a package that imports a number, and files that arguments name."""


@pytest.mark.parametrize("changed", OWN_FILES)
def test_a_calculator_with_other_files_is_another_model(tmp_path, monkeypatch, changed):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    (tmp_path / "own_parts").mkdir()
    for name, content in OWN_FILES.items():
        (tmp_path / name).write_text(content)
    model = "own_model:calculator", ["files=[{'a': 'listed.dat'}]", "pattern=part_*.dat"]
    before = open_evaluator(*model).fingerprint
    assert open_evaluator(*model).fingerprint == before
    with open(changed, "a") as file:
        file.write("# edited")
    assert (open_evaluator(*model).fingerprint == before) is (changed == "other.dat")


@pytest.mark.parametrize("package", ["numpy", "ase"])
def test_a_calculator_with_another_version_of_a_package_is_another_model(monkeypatch, package):
    """Of one that its module imports."""
    before = open_evaluator("scoring_calculators:Morse").fingerprint
    monkeypatch.setattr(dependencies, "version", lambda name: "0" if name == package else version(name))
    assert open_evaluator("scoring_calculators:Morse").fingerprint != before


def test_a_checkpoint_elsewhere_or_with_another_e3nn_is_another_model(tmp_path, monkeypatch):
    file = str(saved(tmp_path / "model.ckpt"))
    before, elsewhere = open_evaluator(file).fingerprint, open_evaluator(file)
    elsewhere.potential.to("meta")
    assert elsewhere.fingerprint != before
    monkeypatch.setattr(dependencies, "version", lambda name: "0" if name == "e3nn" else version(name))
    assert open_evaluator(file).fingerprint != before
