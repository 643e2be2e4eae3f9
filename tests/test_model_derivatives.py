"""Derivatives beyond those that `PROOFS` holds every model to: of every block, of the loss, the Hessian."""

import numpy as np
import pytest
import torch
from conftest import GENERIC, SYMMETRIC, crystal, deformed, ethanol, moved, predict, skewed, slab
from proofs import DERIVATIVE, force_error, owed, stress_error

from mlip_design.graph import batch_structures


def test_there_is_something_to_measure(potential):
    for structure in GENERIC:
        assert predict(potential, structure()).forces.abs().max() > 0.5
    for structure in (crystal, skewed):
        assert predict(potential, structure(), stress=True).stress.abs().max() > 1e-2


def test_forces_and_stress_with_every_block(block_potential):
    if "forces = -gradient" not in owed(block_potential):
        pytest.skip("promises no such forces")
    assert force_error(block_potential, ethanol()) < DERIVATIVE
    assert force_error(block_potential, deformed(ethanol(), 0.6 * np.eye(3))) < DERIVATIVE  # repelled atoms
    assert force_error(block_potential, skewed()) < DERIVATIVE
    assert stress_error(block_potential, skewed()) < DERIVATIVE


def test_stress_is_unknown_without_volume(potential):
    stress = predict(potential, [ethanol(), crystal(), slab()], stress=True).stress
    assert stress.isnan().flatten(1).all(1).tolist() == [True, False, True]
    assert stress[1].isfinite().all()


def test_training_on_crystals_is_not_spoilt_by_molecules_without_stress(potential):
    potential.requires_grad_(True)
    graph = batch_structures([ethanol(), crystal()], potential.cutoff, potential.dtype)
    prediction = potential(graph, stress=True, create_graph=True)
    (prediction.forces.square().sum() + prediction.stress[1].square().sum()).backward()
    assert all(p.grad.isfinite().all() for p in potential.parameters() if p.grad is not None)


def test_gradient_of_a_force_loss_with_respect_to_weights(potential):
    graph = batch_structures([ethanol(), crystal()], potential.cutoff, potential.dtype)
    weight = max(potential.backbone.parameters(), key=lambda p: p.numel() if p.ndim == 2 else 0).requires_grad_(
        True
    )
    random = torch.randn(weight.shape, dtype=weight.dtype, generator=torch.Generator().manual_seed(0))

    def loss() -> torch.Tensor:
        prediction = potential(graph, create_graph=True)
        return prediction.forces.square().mean() + prediction.energy.square().mean() * 1e-3

    slope = (torch.autograd.grad(loss(), weight)[0] * random).sum().item()
    step, values = 1e-5, []
    for t in (1, -2, 1):
        with torch.no_grad():
            weight += t * step * random
        values.append(loss().item())
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_second_derivatives_on_symmetric_molecules(potential, name):
    structure = SYMMETRIC[name]
    graph = batch_structures([structure], potential.cutoff, potential.dtype)

    def energy(positions: torch.Tensor) -> torch.Tensor:
        return potential.atomic_energies(graph, positions, None).sum()

    hessian = torch.autograd.functional.hessian(energy, graph.positions).reshape(*(2 * [graph.positions.numel()]))
    scale = hessian.abs().max()
    assert hessian.isfinite().all() and scale > 1
    assert (hessian - hessian.T).abs().max() < 1e-11 * scale
    assert hessian.reshape(len(hessian), -1, 3).sum(1).abs().max() < 1e-10 * scale  # translations cost nothing
    if potential.neighbors.continuity_order >= 0:
        offset = np.zeros_like(structure.positions)
        offset[0, 1] = 1e-5
        forward, backward = (
            predict(potential, moved(structure, structure.positions + t * offset)) for t in (1, -1)
        )
        numerical = -(forward.forces - backward.forces).flatten() / 2e-5
        assert (numerical - hessian[1]).abs().max() < 1e-5 * scale
