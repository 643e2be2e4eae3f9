"""Every architecture and block as it is configured; limits of the energies and forces it gives."""

import ase
import numpy as np
import pytest
import torch
from conftest import (
    BASE_MODEL,
    BLOCK_IDS,
    BLOCKS,
    CONF,
    MODELS,
    STATISTICS,
    build,
    cage,
    composed,
    crystal,
    ethanol,
    far_atoms,
    isolated,
    moved,
    predict,
)
from hydra.utils import instantiate
from omegaconf import OmegaConf
from proofs import DERIVATIVE, EXACT, stress_error

from mlip_design.blocks import contracts
from mlip_design.config import model_arguments
from mlip_design.graph import batch_structures
from mlip_design.potential import Potential
from mlip_design.structures import from_atoms

PROTOCOLS = {
    "neighbors": contracts.NeighborSelection,
    "envelope": contracts.Envelope,
    "basis": contracts.RadialBasis,
    "attention": contracts.Attention,
    "backbone": contracts.Backbone,
    "readout": contracts.Readout,
    "repulsion": contracts.Repulsion,
}


# Limits


def test_atoms_without_neighbors(potential):
    alone, apart = predict(potential, isolated()), predict(potential, far_atoms())
    assert (alone.forces == 0).all() and (apart.forces == 0).all()
    assert alone.energy.isfinite().all()
    assert apart.energies[0].item() == pytest.approx(alone.energy.item(), abs=EXACT)


def test_one_atom_and_its_own_images(potential):
    cell = [[2.3, 0.0, 0.0], [0.4, 2.5, 0.0], [0.7, -0.6, 2.9]]
    atom = from_atoms(ase.Atoms("C", cell=cell, pbc=True))
    prediction = predict(potential, atom, stress=True)
    assert prediction.forces.abs().max() < EXACT
    assert stress_error(potential, atom) < DERIVATIVE


def test_sixty_equidistant_neighbors(block_potential):
    """A shell larger than k: forces stay finite, and exact once the symmetry is broken."""
    structure = cage()
    assert predict(block_potential, structure).forces.isfinite().all()
    offset = np.zeros_like(structure.positions)
    offset[-1] = [0.02, 0.03, -0.01]
    step = 1e-4
    shifted = [moved(structure, structure.positions + offset * (1 + t * step)) for t in (-1, 0, 1)]
    back, centre, front = (predict(block_potential, s) for s in shifted)
    slope = -(centre.forces.numpy() * offset).sum()
    if block_potential.neighbors.continuity_order >= 0 and block_potential.readout.conservative:
        assert (front.energy - back.energy).item() / (2 * step) == pytest.approx(slope, abs=1e-6)


def test_input_is_left_alone(potential):
    graph = batch_structures([ethanol(), crystal()], potential.cutoff, potential.dtype)
    before = {k: v.clone() for k, v in vars(graph).items() if v is not None}
    potential(graph, stress=True, create_graph=True)
    assert all(torch.equal(getattr(graph, k), v) for k, v in before.items())
    assert not graph.positions.requires_grad and graph.positions.grad is None


def test_atomic_energies_add_up(potential):
    batch = [ethanol(), crystal(), isolated()]
    prediction = predict(potential, batch)
    parts = prediction.energies.split([9, 4, 1])
    assert (prediction.energy - torch.stack([part.sum() for part in parts])).abs().max() < EXACT


def test_what_is_asked_for_does_not_change_the_rest(potential):
    graph = batch_structures([crystal()], potential.cutoff, potential.dtype)
    every = potential(graph, stress=True)
    with torch.no_grad():
        energy_only = potential(graph, forces=False)
        stress_only = potential(graph, forces=False, stress=True)
    assert energy_only.forces is None and energy_only.stress is None and stress_only.forces is None
    assert torch.equal(energy_only.energy, every.energy)
    assert torch.equal(stress_only.stress, every.stress)


def test_reference_energies_are_added(potential):
    before = predict(potential, ethanol())
    shifted = {n: e + (5.0 if n == 8 else 0.0) for n, e in STATISTICS.reference_energies.items()}
    potential.calibrate(type(STATISTICS)(shifted, STATISTICS.force_rms))
    after = predict(potential, ethanol())
    assert (after.energy - before.energy).item() == pytest.approx(5.0, abs=EXACT)
    assert torch.equal(after.forces, before.forces)


def test_float32_agrees_with_float64(potential):
    exact = predict(potential, [ethanol(), crystal()])
    rounded = predict(potential.float(), [ethanol(), crystal()])
    assert rounded.forces.dtype == torch.float32
    assert rounded.energy.dtype == potential.reference_energies.dtype == torch.float64
    assert (exact.energy - rounded.energy).abs().max() < 3e-7 * exact.energies.abs().sum()
    assert (exact.forces - rounded.forces).abs().max() < 1e-4 * exact.forces.abs().max()


# The blocks of the configuration


@pytest.mark.parametrize(("group", "name"), BLOCKS, ids=BLOCK_IDS)
def test_every_block_can_be_chosen_on_the_command_line(group, name):
    potential = build(f"model={BASE_MODEL}", f"model/{group}={name}")
    assert predict(potential, ethanol()).energy.isfinite().all()


@pytest.mark.parametrize(("group", "name"), BLOCKS, ids=BLOCK_IDS)
def test_every_block_declares_what_it_promises(group, name):
    target = OmegaConf.load(CONF / "model" / group / f"{name}.yaml")["_target_"]
    assert target.startswith(f"mlip_design.blocks.{group}.{name}."), "YAML and Python file share a stem"
    potential = build(f"model={BASE_MODEL}", **{group: name})
    if group in PROTOCOLS and group != "attention":  # which is many blocks inside the backbone
        missing = [key for key in PROTOCOLS[group].__annotations__ if not hasattr(getattr(potential, group), key)]
        assert not missing


@pytest.mark.parametrize("model", MODELS)
def test_every_architecture_is_built_as_it_is_configured(model):
    potential = instantiate(model_arguments(composed(CONF, (f"model={model}",))))
    potential.calibrate(STATISTICS)
    assert isinstance(potential, Potential)
    assert predict(potential, ethanol()).forces.isfinite().all()
