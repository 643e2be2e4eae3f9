"""Training: it learns, it averages, and it says what a person needs on the terminal."""

import io
import math

import pytest
import pytorch_lightning as pl
import tiny_run
import torch
from hydra.utils import instantiate
from rich.console import Console

from mlip_design.config import model_arguments
from mlip_design.report import terminal
from mlip_design.task import parameter_groups


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """The `Results` of a run long enough to learn something."""
    overrides = ["trainer.max_epochs=18", "optimizer.lr=0.005", "model.backbone.n_features=32"]
    overrides += ["model.basis.n_basis=16", "callbacks.bsct.every_n_epochs=18"]
    inputs = [override for override in tiny_run.inputs() if "limit_train_batches" not in override]
    return tiny_run.run([*inputs, *overrides], tmp_path_factory.mktemp("runs") / "learnt")


def test_it_learns(learnt):
    """Forces of unseen frames of known molecules become better than zero forces."""
    first, last = learnt.history[0], learnt.history[-1]
    assert last["train/loss"] < 0.8 * first["train/loss"]
    assert last["val/forces_mae"] < learnt.record["data"]["val"]["mean_absolute_force"]


def test_learning_rate_warms_up_and_comes_down(learnt):
    rates = [row["learning_rate"] for row in learnt.history]
    assert max(rates) == pytest.approx(0.005, rel=0.1)
    assert rates[-1] == pytest.approx(5e-5, rel=0.1)


def test_parameter_groups(tmp_path):
    """Every parameter is trained, in one group; vectors and embeddings do not decay."""
    potential = instantiate(model_arguments(tiny_run.compose([], tmp_path)))
    decayed, free = parameter_groups(potential)
    assert free["weight_decay"] == 0.0
    assert len(decayed["params"]) + len(free["params"]) == len(list(potential.parameters()))
    assert all(parameter.ndim >= 2 for parameter in decayed["params"])
    embeddings = {id(m.weight) for m in potential.modules() if isinstance(m, torch.nn.Embedding)}
    assert embeddings and not embeddings & {id(parameter) for parameter in decayed["params"]}


def test_seed_fixes_everything(tmp_path):
    runs = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        runs.append(tiny_run.run([*tiny_run.inputs(), "trainer.max_epochs=1", f"seed={seed}"], tmp_path / name))
    losses = [[row["train/loss"] for row in run.history] for run in runs]
    assert losses[0] == losses[1] != losses[2]


def test_output_of_a_run_that_no_terminal_shows(tmp_path, capfd):
    """In a log: two lines for the model and the data, a heading, a line an epoch; no bars, no notices."""
    tiny_run.run(tiny_run.inputs(), tmp_path)
    printed = capfd.readouterr()
    lines = printed.out.splitlines()
    assert "parameters" in lines[0] and "train 48, val 35, test 24" in lines[1]
    assert len(lines) == 8
    assert [line.split()[0] for line in lines[-3:]] == ["zero", "0", "1"]
    assert all(len(line) <= 80 for line in lines)
    assert "\r" not in printed.out
    assert printed.err == ""


def test_progress_stays_silent_about_noise_only(tmp_path, recwarn):
    """Other warnings come through."""
    tiny_run.run(tiny_run.inputs(), tmp_path)
    pl.utilities.rank_zero.rank_zero_warn("a real one")
    assert "a real one" in [str(warning.message) for warning in recwarn]


def sample_results() -> tuple[dict, list[dict]]:
    """A record with large numbers, as `print_summary` takes it."""
    bsct = {f"{zero}{key}": 1234.56 for key in terminal.SMOOTHNESS for zero in ("", "zero_")}
    metrics = {f"{stage}/bsct/{key}": value for stage in ("val", "test") for key, value in bsct.items()}
    facts = {"structures": 12_345_678, "atoms": 1, "mean_absolute_force": 1.234}
    splits = ("val", "val_new", "test", "test_new")
    metrics |= {f"{split}/forces_mae": 0.1234 for split in splits}
    metrics |= {f"{split}/energy_mae_per_atom": 12.3456 for split in splits}
    cost = {"parameters": 123_456_789, "seconds": 12345.6, "bsct_seconds": 100.0, "seconds_per_step": 0.5}
    overrides = ["model=smooth_attn", "data.train=my file.xyz"]
    results = {
        "metrics": metrics,
        "data": dict.fromkeys(("train", *splits), facts),
        "cost": cost,
        "overrides": overrides,
    }
    return results, [{**metrics, "val/bsct/full_smoothness": 1.5}, metrics]


@pytest.mark.parametrize("width", [80, 120])
def test_summary_fits_the_terminal(monkeypatch, tmp_path, width):
    text = io.StringIO()
    monkeypatch.setattr(terminal, "Console", lambda **options: Console(file=text, width=width, **options))
    terminal.print_summary(*sample_results(), tmp_path)
    lines = text.getvalue().splitlines()
    table = lines[: next(i for i, line in enumerate(lines) if line.startswith("cost"))]
    assert all(len(line) <= 80 for line in table)
    assert "1/10.0" in text.getvalue() and "1.5" in text.getvalue() and str(tmp_path) in text.getvalue()
    assert "python train.py model=baseline 'data.train=my file.xyz'" in text.getvalue()


def test_next_command():
    same = "python train.py model=baseline experiment=long seed=2"
    assert terminal.next_command(["model=smooth_attn", "experiment=long", "seed=2"]) == same
    assert terminal.next_command(["model=baseline", "trainer.max_epochs=3"]) == "python train.py experiment=long"


def test_epoch_line_without_bsct():
    line = terminal.epoch_line(7, ["val"], {"train/loss": 0.5, "val/forces_mae": 0.0123}, 75.0)
    assert line.split() == ["7", "0.5000", "12.3", "-", "-", "1:15"]
    assert not math.isnan(float(line.split()[1]))
