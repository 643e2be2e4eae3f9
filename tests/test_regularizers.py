"""Penalties on rough forces: their value is the formula's, they are differentiable, and they find what is rough."""

from dataclasses import replace

import numpy as np
import pytest
import tiny_run
import torch
from conftest import build
from torch import nn

from mlip_design.bsct.curves import deviation_curves
from mlip_design.bsct.runner import structures_of
from mlip_design.graph import batch_structures
from mlip_design.potential import Prediction
from mlip_design.regularizers.curvature import Curvature
from mlip_design.regularizers.log_ratio import LogRatio
from mlip_design.regularizers.paths import random_paths

DEFAULTS = {"weight": 1.0, "n_paths": 3, "reach": 0.3, "step": 0.02, "length": 0.15, "floor": 1.0, "seed": 0}


class Springs(nn.Module):
    """Forces sin(wave x) / wave on every atom: their second derivative along x is wave times as large."""

    cutoff, dtype, device = 3.0, torch.float64, torch.device("cpu")

    def __init__(self, wave: float):
        super().__init__()
        self.wave = nn.Parameter(torch.tensor(wave, dtype=torch.float64))
        self.scale = torch.ones((), dtype=torch.float64)

    def check_elements(self, numbers, where=""):
        """Knows all."""

    def forward(self, graph, create_graph=False):
        forces = torch.sin(self.wave * graph.positions) / self.wave
        return Prediction(energy=torch.zeros(graph.n_graphs), energies=forces[:, 0], forces=forces)


@pytest.fixture(scope="module")
def scans():
    return tiny_run.few_scans(count=2)


@pytest.fixture
def graph(scans):
    """A labelled batch of six frames of two molecules."""
    frames = [
        replace(structure, energy=energy, forces=forces)
        for scan in scans
        for structure, energy, forces in list(
            zip(structures_of(scan.numbers, scan.positions, None), scan.energies, scan.forces, strict=True)
        )[8:11]
    ]
    return batch_structures(frames, 6.0, torch.float64)


def test_paths_stretch_one_bond_rigidly(graph):
    paths = random_paths(graph, np.random.default_rng(0), 4, reach=0.3, step=0.02)
    assert len(paths) == 4
    for path in paths:
        before, middle, after = (frame.positions for frame in path.frames)
        moves = np.stack([middle - before, after - middle])
        np.testing.assert_allclose(np.linalg.norm(moves, axis=2), 0.01, atol=1e-12)
        assert (
            len(np.unique(moves.round(9).reshape(-1, 3), axis=0)) == 2
        )  # one move a fragment, equal and opposite
        np.testing.assert_allclose(moves[0], moves[1], atol=1e-12)


def test_more_paths_than_molecules_are_as_many_as_there_are(graph):
    assert len(random_paths(graph, np.random.default_rng(0), 100, reach=0.3, step=0.02)) == graph.n_graphs
    crystals = replace(graph, cell=graph.cell + 30 * torch.eye(3, dtype=torch.float64))
    assert random_paths(crystals, np.random.default_rng(0), 3, reach=0.3, step=0.02) == []
    assert Curvature(**DEFAULTS)(Springs(1.0), crystals, step=0) == 0


@pytest.mark.parametrize("wave", [40.0, 200.0])
def test_curvature_is_that_of_the_forces(graph, wave):
    """By hand: the second difference of sin(wave x) / wave at every atom of every path, beyond what is allowed."""
    potential, settings = Springs(wave), DEFAULTS | {"length": 1.0, "weight": 0.7}
    expected = []
    for path in random_paths(graph, np.random.default_rng((0, 5)), 3, reach=0.3, step=0.02):
        before, middle, after = (np.sin(wave * frame.positions) / wave for frame in path.frames)
        bend = np.linalg.norm(after - 2 * middle + before) / 0.02**2
        expected.append(max(0.0, np.log(bend / (path.spread + 1.0))))
    assert max(expected) > 0
    penalty = Curvature(**settings)(potential, graph, step=5)
    assert penalty.item() == pytest.approx(0.7 * np.mean(expected), rel=1e-9)


def test_reference_forces_cost_next_to_nothing(scans):
    """Along the reference itself, three neighbouring frames at a time, nearly everything is allowed."""
    excess = []
    for scan in scans:
        step = np.diff(scan.lengths)[0]
        forces = scan.forces.reshape(len(scan.lengths), -1)
        bend = np.linalg.norm(np.diff(forces, n=2, axis=0), axis=1) / step**2
        excess.append(0.15**2 * bend > np.linalg.norm(forces[1:-1], axis=1) + 1.0)
    assert np.mean(np.concatenate(excess)) < 0.1


def test_slopes_are_those_of_the_published_score(scans):
    scan, potential = scans[0], build("model=smooth_attn")
    frames = batch_structures(structures_of(scan.numbers, scan.positions, None), potential.cutoff, torch.float64)
    forces = potential(frames).forces.reshape(scan.positions.shape).detach().numpy()
    regularizer = LogRatio(weight=1.0, scans=scans, n_frames=4, floor=1.0, seed=0)
    found = regularizer.slopes(potential, scan, slice(0, len(scan.lengths))).detach().numpy()
    np.testing.assert_allclose(found, deviation_curves(scan, forces).slope, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["curvature", "log_ratio"])
def test_gradient_with_respect_to_weights(name, graph, scans):
    """The penalty's derivative with respect to one parameter is its finite difference."""
    regularizer = (
        Curvature(**DEFAULTS | {"length": 1.0})
        if name == "curvature"
        else LogRatio(weight=1.0, scans=scans, n_frames=4, floor=0.1, seed=0)
    )
    potential, step = Springs(40.0), 1e-6
    (gradient,) = torch.autograd.grad(regularizer(potential, graph, step=3), potential.wave)
    values = [regularizer(Springs(40.0 + sign * step), graph, step=3).item() for sign in (1, -1)]
    assert abs(gradient.item()) > 1e-3
    assert gradient.item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)


def test_the_choice_is_random_and_comes_again(graph):
    regularizer, potential = Curvature(**DEFAULTS | {"length": 1.0}), Springs(50.0)
    values = [regularizer(potential, graph, step).item() for step in (1, 2, 1)]
    assert values[0] == values[2] != values[1]


def test_log_ratio_needs_scans():
    with pytest.raises(ValueError, match="needs scans of training"):
        LogRatio(weight=1.0, scans=[], n_frames=4, floor=1.0, seed=0)


def test_descending_the_penalty_makes_forces_bend_less(graph):
    potential = build("model=baseline", repulsion="none").requires_grad_(True)
    regularizer = Curvature(**DEFAULTS | {"length": 1.0, "reach": 0.0, "floor": 0.1})
    optimizer = torch.optim.Adam(potential.parameters(), lr=3e-3)
    values = []
    for _ in range(15):
        optimizer.zero_grad()
        penalty = regularizer(potential, replace(graph, forces=0 * graph.forces), step=0)
        penalty.backward()
        optimizer.step()
        values.append(penalty.item())
    assert 0 < values[-1] < values[0] - 2  # a logarithm: seven times less


def test_a_run_tells_the_penalty(tmp_path):
    results = tiny_run.run([*tiny_run.inputs(), "regularizer=curvature"], tmp_path / "run")
    assert results.history[-1]["train/regularizer"] >= 0
    results = tiny_run.run(tiny_run.inputs(), tmp_path / "without")
    assert "train/regularizer" not in results.history[-1]


def test_data_without_training_scans_is_refused(tmp_path):
    """log_ratio takes its scans from `data=bsct`; with other data there is nothing to train on."""
    process = tiny_run.command(*tiny_run.inputs(), "regularizer=log_ratio", f"hydra.run.dir={tmp_path}/run")
    assert tiny_run.finish(process) == 2
    assert not (tmp_path / "run").exists()


def test_log_ratio_trains_on_the_scans_of_the_training_split(tmp_path):
    root = tiny_run.write_scans(tiny_run.few_scans(count=27, step=12), tmp_path / "scans")
    kept = [word for word in tiny_run.TINY if not word.startswith("data=")]
    settings = ["data=bsct", f"data.root={root}", "data.val=0.34", "data.test=0.34", "regularizer=log_ratio"]
    results = tiny_run.run([*kept, *settings], tmp_path / "run")
    assert results.history[-1]["train/regularizer"] > 0
