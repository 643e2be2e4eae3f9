"""Structures turned at random, in training and to see whether a potential notices."""

from dataclasses import replace

import pytest
import tiny_run
import torch
from conftest import build, ethanol, skewed

from mlip_design.graph import batch_structures, random_rotations, rotated


@pytest.fixture
def graph():
    return batch_structures([ethanol(), skewed()], 6.0, torch.float64)


def departure(potential, graph, rotations) -> tuple[float, float, float]:
    """Largest change of an energy (eV), force (eV/Å) and stress component (eV/Å^3) beyond the rotation itself."""
    still, moved = (potential(inputs, stress=True) for inputs in (graph, rotated(graph, rotations)))
    of_atom = rotations[graph.graph_index]
    forces = moved.forces - (still.forces[:, None] @ of_atom)[:, 0]
    stress = moved.stress - rotations.transpose(1, 2) @ still.stress @ rotations
    return tuple(x.abs().nan_to_num(0).max().item() for x in (moved.energy - still.energy, forces, stress))


def test_labels_turn_as_predictions_do(graph):
    """What an invariant potential predicts of turned structures are its turned predictions."""
    rotations = random_rotations(2, (0,), graph.positions)
    assert max(departure(build("model=smooth_attn"), graph, rotations)) < 1e-10


def test_a_potential_that_sees_directions_is_found_out(graph):
    rotations = random_rotations(2, (0,), graph.positions)
    assert departure(build("model=smooth_attn", "model.backbone.directions=1"), graph, rotations)[1] > 1e-3


def test_labels_are_turned_with_the_structure(graph):
    rotations = random_rotations(2, (0,), graph.positions)
    labelled = build("model=smooth_attn")(graph, stress=True)
    turned = rotated(replace(graph, forces=labelled.forces, stress=labelled.stress), rotations)
    predicted = build("model=smooth_attn")(turned, stress=True)
    torch.testing.assert_close(turned.forces, predicted.forces, rtol=0, atol=1e-10)
    torch.testing.assert_close(turned.stress[1], predicted.stress[1], rtol=0, atol=1e-10)
    back = rotated(turned, rotations.transpose(1, 2))
    torch.testing.assert_close(back.positions, graph.positions, rtol=0, atol=1e-12)


def test_rotations_are_proper_uniform_and_reproducible():
    like = torch.zeros((), dtype=torch.float64)
    rotations = random_rotations(4000, (1, 2), like)
    torch.testing.assert_close(rotations, random_rotations(4000, (1, 2), like))
    assert not torch.allclose(rotations, random_rotations(4000, (1, 3), like))
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(4000, dtype=torch.float64))
    assert rotations.mean(0).abs().max() < 0.05


def test_the_error_is_logged_where_there_is_one(tmp_path):
    settings = [*tiny_run.inputs(), "trainer.max_epochs=1"]
    watched = ["model.backbone.directions=1", "callbacks.checkpoint.monitor=val/equivariance_error"]
    directed = tiny_run.run([*settings, *watched], tmp_path / "directed")
    assert directed.history[-1]["val/equivariance_error"] > 1e-4
    with pytest.raises(ValueError, match="'val/equivariance_error' is not measured"):
        tiny_run.run([*settings, watched[1]], tmp_path / "unmeasured")
    assert "val/equivariance_error" not in tiny_run.run(settings, tmp_path / "invariant").history[-1]


def test_training_on_turned_structures(tmp_path):
    """It changes what a potential that sees directions learns, and nothing else."""
    settings = [*tiny_run.inputs(), "trainer.max_epochs=1", "dtype=float64"]
    loss = {}
    for directions in (0, 1):
        for rotate in ("false", "true"):
            words = [*settings, f"model.backbone.directions={directions}", f"rotate={rotate}"]
            results = tiny_run.run(words, tmp_path / f"{directions}_{rotate}")
            loss[directions, rotate] = results.history[-1]["train/loss"]
    assert loss[0, "true"] == pytest.approx(loss[0, "false"], rel=1e-9)
    assert loss[1, "true"] != pytest.approx(loss[1, "false"], rel=1e-4)
