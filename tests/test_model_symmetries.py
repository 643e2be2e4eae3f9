"""Energies and forces under rotation, permutation, batching and in supercells; a broken symmetry is caught."""

import ase
import numpy as np
import pytest
import torch
from conftest import (
    CONF,
    MODELS,
    build,
    composed,
    crystal,
    deformed,
    ethanol,
    far_atoms,
    isolated,
    moved,
    predict,
    skewed,
    slab,
)
from model_errors import DERIVATIVE, EXACT, force_error, structures
from scipy.spatial.transform import Rotation
from torch import nn

from mlip_design.potential import Potential
from mlip_design.structures import Structure, from_atoms


def difference(potential: Potential, one: Structure, other: Structure) -> float:
    """Largest difference of energy (eV) and forces (eV/Å) of two structures that should not differ."""
    first, second = predict(potential, one), predict(potential, other)
    return max((first.energy - second.energy).abs().item(), (first.forces - second.forces).abs().max().item())


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
    assert error < EXACT if potential.neighbors.continuity_order >= 0 else error > EXACT


class CentredOnBatch(nn.Module):
    """Wrong on purpose: a readout that looks at the mean over the batch."""

    conservative = True

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
