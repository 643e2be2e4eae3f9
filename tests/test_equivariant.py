"""Backbones `equivariant` and `invariant` beyond the laws that every model obeys: irreps, precision, what they see."""

import copy
import pickle

import ase
import numpy as np
import pytest
import torch
from conftest import build, ethanol, predict, skewed
from hypothesis import given, settings
from hypothesis import strategies as st
from proofs import EXACT, broken, rotation_error, turning_error
from scipy.spatial.transform import Rotation
from test_import_rules import needed

from mlip_design.blocks.backbone import equivariant
from mlip_design.graph import batch_structures
from mlip_design.potential import Potential
from mlip_design.structures import from_atoms

BACKBONES = ["equivariant", "invariant"]


def tensors(l_max: int, pseudotensors: bool, n_layers: int) -> Potential:
    """An equivariant potential of eight channels."""
    overrides = [f"model.backbone.l_max={l_max}", f"model.backbone.pseudotensors={pseudotensors}"]
    return build("model=equivariant", *overrides, sizes={"n_features": 8, "n_layers": n_layers})


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 3), st.booleans(), st.integers(1, 3), st.integers(0, 2**32 - 1), st.sampled_from([1, -1]))
def test_turned_and_mirrored_structures_with_tensors_of_every_kind(l_max, pseudotensors, n_layers, seed, sign):
    potential = tensors(l_max, pseudotensors, n_layers)
    turn = sign * Rotation.random(rng=seed).as_matrix()
    assert turning_error(potential, ethanol(), turn) < EXACT
    assert turning_error(potential, skewed(), turn) < EXACT


def test_parity_that_is_ignored_is_caught(monkeypatch):
    """Wrong on purpose: the cross product of two vectors counts as a vector, so that left differs from right."""

    def paths_to(target, sources, l_max):
        every = [(source, degree) for source in sources for degree in range(l_max + 1)]
        return [(s, degree) for s, degree in every if abs(s.degree - degree) <= target.degree <= s.degree + degree]

    monkeypatch.setattr(equivariant, "paths_to", paths_to)
    assert broken(tensors(2, pseudotensors=False, n_layers=3)) == {"reflection"}


def test_symbols_are_not_rounded_by_conversions():
    potential = tensors(2, pseudotensors=True, n_layers=3).float().double()
    assert rotation_error(potential, ethanol()) < EXACT
    for coupling in potential.modules():
        if isinstance(coupling, equivariant.Coupling):
            coupling.symbols = coupling.symbols.float().double()
    assert rotation_error(potential, ethanol()) > 10 * EXACT


def bent(angle: float):
    """A centre with two neighbours at 1.5 Å that are out of each other's reach."""
    radians = np.deg2rad(angle)
    return from_atoms(
        ase.Atoms("OHH", [[0, 0, 0], [1.5, 0, 0], [1.5 * np.cos(radians), 1.5 * np.sin(radians), 0]])
    )


@pytest.mark.parametrize(("model", "l_max"), [("equivariant", 0), ("equivariant", 1), ("invariant", None)])
def test_angles_are_seen_by_tensors_and_not_by_scalars(model, l_max):
    """With distances alone, an angle is known only by the distance that closes the triangle."""
    degree = [] if l_max is None else [f"model.backbone.l_max={l_max}"]
    potential = build(f"model={model}", "model/neighbors=radius", "model.neighbors.cutoff=2.0", *degree)
    change = abs((predict(potential, bent(100)).energy - predict(potential, bent(150)).energy).item())
    assert change > 1e-3 if l_max else change < EXACT


@pytest.mark.parametrize("model", BACKBONES)
def test_copies_and_pickles_predict_the_same(model):
    potential = build(f"model={model}")
    expected = predict(potential, ethanol()).forces
    for other in (copy.deepcopy(potential), pickle.loads(pickle.dumps(potential))):
        assert torch.equal(predict(other, ethanol()).forces, expected)


@pytest.mark.parametrize("model", BACKBONES)
def test_sums_are_deterministic(model):
    torch.use_deterministic_algorithms(True)
    try:
        forces = [predict(build(f"model={model}"), [ethanol(), skewed()]).forces for _ in range(2)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(*forces)


@pytest.mark.parametrize("model", BACKBONES)
def test_training_on_forces_reaches_every_weight_that_matters(model):
    """In float32, with both derivatives."""
    potential = build(f"model={model}", dtype=torch.float32).requires_grad_(True)
    graph = batch_structures([ethanol()], potential.cutoff, potential.dtype)
    potential(graph, create_graph=True).forces.square().sum().backward()
    for name, parameter in potential.backbone.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_e3nn_is_imported_by_those_who_use_it():
    assert "e3nn" not in needed("mlip_design.blocks.backbone.equivariant")
