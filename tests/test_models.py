"""Physics of every architecture and of every block in the default one: derivatives, symmetries, limits, continuity.

Each measure returns the largest error; models that are wrong on purpose must exceed the tolerance that others keep.
"""

import ase
import numpy as np
import pytest
import torch
from conftest import (
    BASE_MODEL,
    BLOCK_IDS,
    BLOCKS,
    CONF,
    GENERIC,
    MODELS,
    STATISTICS,
    SYMMETRIC,
    blocks_of,
    build,
    cage,
    composed,
    crystal,
    deformed,
    ethanol,
    far_atoms,
    isolated,
    leaving,
    moved,
    numerical_forces,
    numerical_stress,
    overtaking,
    potential_jumps,
    predict,
    skewed,
    slab,
)
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy.spatial.transform import Rotation
from torch import nn

from mlip_design.blocks import contracts
from mlip_design.config import model_arguments
from mlip_design.graph import batch_structures
from mlip_design.potential import Potential
from mlip_design.structures import Structure, from_atoms

PROTOCOLS = {
    "neighbors": contracts.NeighborSelection,
    "envelope": contracts.Envelope,
    "basis": contracts.RadialBasis,
    "attention": contracts.Attention,
    "backbone": contracts.Backbone,
    "readout": contracts.Readout,
    "repulsion": contracts.Repulsion,
}
DERIVATIVE = 1e-6  # eV/Å of forces, eV/Å^3 of stress
EXACT = 1e-10  # eV and eV/Å: differences by nothing but the order of sums
structures = pytest.mark.parametrize("structure", GENERIC)


# Measures


def difference(potential: Potential, one: Structure, other: Structure) -> float:
    """Largest difference of energy (eV) and forces (eV/Å) of two structures that should not differ."""
    first, second = predict(potential, one), predict(potential, other)
    return max((first.energy - second.energy).abs().item(), (first.forces - second.forces).abs().max().item())


def force_error(potential: Potential, structure: Structure) -> float:
    """eV/Å, against finite differences of the energy."""
    return np.abs(predict(potential, structure).forces.numpy() - numerical_forces(potential, structure)).max()


def stress_error(potential: Potential, structure: Structure) -> float:
    """eV/Å^3, against finite strains."""
    stress = predict(potential, structure, stress=True).stress[0].numpy()
    return np.abs(stress - numerical_stress(potential, structure)).max()


def batch_error(potential: Potential) -> float:
    """Of structures evaluated together instead of one by one, eV and eV/Å."""
    batch = [structure() for structure in (ethanol, crystal, isolated, skewed, slab, far_atoms)]
    together, apart = predict(potential, batch), [predict(potential, structure) for structure in batch]
    energy = together.energy - torch.cat([p.energy for p in apart])
    forces = together.forces - torch.cat([p.forces for p in apart])
    return max(energy.abs().max().item(), forces.abs().max().item())


def permutation_error(potential: Potential, structure: Structure) -> float:
    """Of atoms in another order, eV and eV/Å."""
    order = np.random.default_rng(1).permutation(len(structure.numbers))
    shuffled = Structure(structure.numbers[order], structure.positions[order], structure.cell, structure.pbc)
    one, other = predict(potential, structure), predict(potential, shuffled)
    forces = (one.forces[torch.from_numpy(order)] - other.forces).abs().max().item()
    return max((one.energy - other.energy).abs().item(), forces)


def rotation_error(potential: Potential, structure: Structure) -> float:
    """Of a rotated structure, eV and eV/Å."""
    rotation = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    one, other = predict(potential, structure), predict(potential, deformed(structure, rotation))
    forces = (one.forces @ torch.from_numpy(rotation) - other.forces).abs().max().item()
    return max((one.energy - other.energy).abs().item(), forces)


def copies_error(potential: Potential) -> float:
    """Of the energy of two molecules far apart against twice that of one, eV."""
    one = ethanol()
    positions = np.vstack([one.positions, one.positions + np.array([0, 0, 100.0])])
    two = Structure(np.tile(one.numbers, 2), positions, one.cell, one.pbc)
    return (predict(potential, two).energy - 2 * predict(potential, one).energy).abs().item()


def repeated(structure: Structure, counts: tuple[int, int, int]) -> Structure:
    """A supercell; atoms of the first cell first."""
    atoms = ase.Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)
    return from_atoms(atoms.repeat(counts))


def supercell_error(potential: Potential, structure: Structure, counts: tuple[int, int, int]) -> float:
    """Of the energy and forces of a supercell against those of its cell, eV and eV/Å, and of stress, eV/Å^3."""
    cell, whole = (predict(potential, s, stress=True) for s in (structure, repeated(structure, counts)))
    n_cells = int(np.prod(counts))
    return max(
        (whole.energies - cell.energies.repeat(n_cells)).abs().max().item(),
        (whole.forces - cell.forces.repeat(n_cells, 1)).abs().max().item(),
        (whole.stress - cell.stress).abs().max().item(),
    )


# Derivatives


@structures
def test_forces_are_the_negative_gradient(potential, structure):
    assert predict(potential, structure()).forces.abs().max() > 0.5, "too small to test anything"
    assert force_error(potential, structure()) < DERIVATIVE


@pytest.mark.parametrize("structure", [crystal, skewed])
def test_stress_is_the_strain_derivative(potential, structure):
    assert predict(potential, structure(), stress=True).stress.abs().max() > 1e-2, "too small to test anything"
    assert stress_error(potential, structure()) < DERIVATIVE


def test_forces_and_stress_with_every_block(block_potential):
    assert force_error(block_potential, ethanol()) < DERIVATIVE
    assert force_error(block_potential, deformed(ethanol(), 0.6 * np.eye(3))) < DERIVATIVE  # repelled atoms
    assert force_error(block_potential, skewed()) < DERIVATIVE
    assert stress_error(block_potential, skewed()) < DERIVATIVE


class Detached(nn.Module):
    """Wrong on purpose: radial features that hide their derivative."""

    def __init__(self, basis: nn.Module):
        super().__init__()
        self.basis = basis
        self.n_basis = basis.n_basis

    def forward(self, distance):
        return self.basis(distance.detach())


def test_wrong_forces_are_caught(potential):
    potential.basis = Detached(potential.basis)
    assert force_error(potential, ethanol()) > 100 * DERIVATIVE
    assert stress_error(potential, skewed()) > 100 * DERIVATIVE


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
    if potential.neighbors.continuous:
        offset = np.zeros_like(structure.positions)
        offset[0, 1] = 1e-5
        forward, backward = (
            predict(potential, moved(structure, structure.positions + t * offset)) for t in (1, -1)
        )
        numerical = -(forward.forces - backward.forces).flatten() / 2e-5
        assert (numerical - hessian[1]).abs().max() < 1e-5 * scale


# Symmetries


def test_batch_equals_single(potential):
    assert batch_error(potential) < EXACT


def test_batch_equals_single_with_every_block(block_potential):
    assert batch_error(block_potential) < EXACT


@structures
def test_permutation(potential, structure):
    assert permutation_error(potential, structure()) < EXACT


@structures
def test_translation(potential, structure):
    one = structure()
    assert difference(potential, one, moved(one, one.positions + np.array([3.3, -17.1, 8.9]))) < EXACT


@pytest.mark.parametrize("structure", [crystal, skewed, slab])
def test_atoms_may_be_moved_by_lattice_vectors(potential, structure):
    one = structure()
    shifts = np.array([[2, -1, 3], [0, 0, 0], [-1, 1, 0], [0, 4, 1]])[: len(one.numbers)] * one.pbc
    assert difference(potential, one, moved(one, one.positions + shifts @ one.cell)) < EXACT


@structures
def test_rotation(potential, structure):
    """Every model that is given no absolute directions is invariant; the forces turn with the structure."""
    assert rotation_error(potential, structure()) < 1e-9


@pytest.mark.parametrize("model", MODELS)
def test_absolute_directions_break_rotation_and_nothing_else(model):
    if "directions" not in composed(CONF, (f"model={model}",)).model.backbone:
        pytest.skip("has no such option")
    potential = build(f"model={model}", "model.backbone.directions=2")
    assert rotation_error(potential, ethanol()) > 1e-3
    assert force_error(potential, ethanol()) < DERIVATIVE
    assert permutation_error(potential, ethanol()) < EXACT


def test_copies_far_apart_add_up(potential):
    assert copies_error(potential) < EXACT


def test_supercell_equals_cell(potential):
    assert supercell_error(potential, crystal(), (2, 1, 1)) < EXACT
    assert supercell_error(potential, crystal(), (1, 2, 2)) < EXACT


def test_supercell_of_a_cell_smaller_than_its_bonds_exactly_where_continuous(potential):
    """An atom's images at S and -S tie. Sorting breaks ties as it likes, differently in cell and supercell."""
    error = supercell_error(potential, skewed(), (3, 1, 1))
    assert error < EXACT if potential.neighbors.continuous else error > EXACT


class CentredOnBatch(nn.Module):
    """Wrong on purpose: a readout that looks at the mean over the batch."""

    def __init__(self, readout: nn.Module):
        super().__init__()
        self.readout = readout

    def forward(self, features):
        return self.readout(features - 0.1 * features.mean(0))


class CountsAtoms(CentredOnBatch):
    """Wrong on purpose: a readout that depends on the order of atoms."""

    def forward(self, features):
        return self.readout(features) * (1 + 1e-3 * torch.arange(len(features)))


def test_dependence_on_the_rest_of_the_batch_is_caught(potential):
    potential.readout = CentredOnBatch(potential.readout)
    assert batch_error(potential) > 100 * EXACT
    assert copies_error(potential) < EXACT  # the mean of two copies is that of one: only the batch tells
    assert permutation_error(potential, ethanol()) < EXACT


def test_dependence_on_the_order_of_atoms_is_caught(potential):
    potential.readout = CountsAtoms(potential.readout)
    assert permutation_error(potential, ethanol()) > 100 * EXACT
    assert copies_error(potential) > 100 * EXACT
    assert supercell_error(potential, crystal(), (2, 1, 1)) > 100 * EXACT


@structures
def test_forces_add_up_to_zero(potential, structure):
    assert predict(potential, structure()).forces.sum(0).abs().max() < EXACT


def test_stress_is_symmetric(potential):
    stress = predict(potential, skewed(), stress=True).stress[0]
    assert (stress - stress.T).abs().max() < EXACT


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
    if block_potential.neighbors.continuous:
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
    assert (exact.energy - rounded.energy).abs().max() < 1e-4
    assert (exact.forces - rounded.forces).abs().max() < 1e-4 * exact.forces.abs().max()


# Continuity


@pytest.mark.parametrize("model", MODELS)
def test_continuous_where_neighbors_swap_rank_exactly_where_promised(model):
    """With fewer neighbours than there are atoms, so that atoms come and go by rank."""
    counts = "n_neighbors" in composed(CONF, (f"model={model}",)).model.neighbors
    potential = build(f"model={model}", *(["model.neighbors.n_neighbors=5"] if counts else []))
    energy, forces = potential_jumps(potential, overtaking, (1.2, 3.6))
    if potential.neighbors.continuous:
        assert energy < 1e-7 and forces < 1e-6
    else:
        assert energy > 1e-3 and forces > 1e-3


def test_continuous_where_an_atom_crosses_the_cutoff(potential):
    energy, forces = potential_jumps(potential, leaving, (5.85, 6.15))
    assert energy < 1e-7 and forces < 1e-6


@pytest.mark.parametrize("envelope", blocks_of("envelope"))
def test_continuity_at_the_cutoff_is_that_of_the_envelope(envelope):
    potential = build(f"model={BASE_MODEL}", neighbors="radius", envelope=envelope)
    energy, forces = potential_jumps(potential, leaving, (5.85, 6.15))
    order = potential.envelope.continuity_order
    assert (energy < 1e-7) if order >= 0 else (energy > 1e-5)
    assert (forces < 1e-6) if order >= 1 else (forces > 1e-5)


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
