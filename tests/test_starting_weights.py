"""`init_from`: the weights of another run, or one line about why they cannot be had."""

import sys

import pytest
import torch
from checkpoints import contents, saved
from conftest import STATISTICS, build, ethanol, predict
from hydra.core.global_hydra import GlobalHydra
from tiny_run import inputs

import train
from mlip_design.potential import Potential, Statistics
from mlip_design.starting_weights import start_from

ELSEWHERE = Statistics({1: -1.0, 6: -2.0, 8: -3.0}, force_rms=7.0)
"""What another training set tells."""


@pytest.fixture
def run(tmp_path):
    """A checkpoint of the default model."""
    return saved(tmp_path / "model.ckpt", **contents())


def fresh(*overrides: str, statistics: Statistics = ELSEWHERE) -> Potential:
    """A potential with other weights, calibrated on another training set."""
    potential = build(*overrides)
    for parameter in potential.parameters():
        parameter += 0.1
    potential.calibrate(statistics)
    return potential


def test_forces_are_those_of_the_other_run_and_energies_differ_by_the_reference(run):
    potential, before = fresh(), predict(build(dtype=torch.float32).double(), ethanol())
    start_from(potential, run, new_elements=False)
    after = predict(potential, ethanol())
    assert (after.forces - before.forces).abs().max() < 1e-9 * before.forces.abs().max()
    numbers = ethanol().numbers
    shift = sum(ELSEWHERE.reference_energies[n] - STATISTICS.reference_energies[n] for n in numbers)
    assert (after.energy - before.energy).item() == pytest.approx(shift, abs=1e-8)
    assert potential.elements == [1, 6, 8]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model.backbone.expansion=3"],
            r"model\.backbone\.layers\.0\.\S+weight is 64 x 32 there and 96 x 32 here",
        ),
        (["model/attention=softmax"], r"model\.backbone\.layers\.0\.\S+ is SmoothAttention there and Softmax"),
        (["model/basis=bessel"], r"model\.basis is Gaussian there and Bessel here"),
        (["model/repulsion=none"], r"model\.repulsion is ZBL there and NoRepulsion here"),
        (["model=invariant"], r"model\.backbone is Mindscaip there and Invariant here"),
    ],
)
def test_blocks_that_do_not_fit_are_named_and_nothing_is_changed(run, overrides, message):
    potential = fresh(*overrides)
    before = {key: value.clone() for key, value in potential.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        start_from(potential, run, new_elements=False)
    after = potential.state_dict()
    assert all(torch.equal(after[key].nan_to_num(), before[key].nan_to_num()) for key in before)


def test_arguments_without_weights_may_differ(run):
    potential = fresh("model.attention.tau=1.5", "model.neighbors.n_neighbors=9")
    start_from(potential, run, new_elements=False)
    assert potential.scale == STATISTICS.force_rms


def test_new_elements_are_an_explicit_choice(run):
    wider = Statistics({1: 0.0, 6: 0.0, 9: 0.0, 53: 0.0}, force_rms=1.0)
    potential = fresh(statistics=wider)
    with pytest.raises(ValueError, match=r"not trained on F, I \(it knows H, C, .*init_new_elements=true"):
        start_from(potential, run, new_elements=False)
    start_from(potential, run, new_elements=True)
    assert potential.elements == [1, 6, 9, 53]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["init_from=nowhere"], "error: nowhere: no such checkpoint"),
        (["init_from={run}"], "it was not trained on F, P, S"),
        (["init_from={run}", "init_new_elements=perhaps"], "init_new_elements"),
    ],
)
def test_mistakes_are_one_line_and_status_2(run, tmp_path, arguments, message, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    given = [argument.format(run=run) for argument in arguments]
    monkeypatch.setattr(sys, "argv", ["train.py", *inputs(), *given])
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as stop:
        train.main()
    printed = capfd.readouterr().err
    assert stop.value.code == 2 and message in printed and len(printed.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == [run]
