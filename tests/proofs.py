"""The laws that a potential must obey, each as a measurement of how far it is from it: `PROOFS`.

A measurement takes a potential in float64 and gives its largest error over structures of every kind: a molecule, a
cell smaller than the cutoff, a skewed one with an atom outside, a slab, atoms alone.
"""

from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

import ase
import numpy as np
import torch
from ase.build import molecule
from conftest import (
    GENERIC,
    crystal,
    deformed,
    ethanol,
    far_atoms,
    isolated,
    moved,
    numerical_forces,
    numerical_stress,
    predict,
    skewed,
    slab,
)
from scipy.spatial.transform import Rotation
from torch import Tensor

from mlip_design.graph import batch_structures
from mlip_design.potential import Potential
from mlip_design.structures import Structure, from_atoms

EXACT = 1e-10
"""eV, eV/Å and eV/Å^3, of values of order 1 to 100: differences by nothing but the order of sums."""
DERIVATIVE = 1e-6
"""eV/Å of forces, eV/Å^3 of stress, which are of order 1: against finite differences."""
TURN = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
MIRROR = np.diag([1.0, 1.0, -1.0])
PERIODIC = (crystal, skewed, slab)


def difference(
    potential: Potential,
    one: Structure,
    other: Structure,
    carry: Callable[[Tensor], Tensor] = lambda forces: forces,
) -> float:
    """Largest difference of energy (eV) and forces (eV/Å) of two structures that are the same but for how they lie.

    carry: what makes the forces of the one those of the other.
    """
    first, second = predict(potential, one), predict(potential, other)
    forces = (carry(first.forces) - second.forces).abs().max().item()
    return max((first.energy - second.energy).abs().item(), forces)


def force_error(potential: Potential, structure: Structure) -> float:
    """eV/Å, against finite differences of the energy."""
    return np.abs(predict(potential, structure).forces.numpy() - numerical_forces(potential, structure)).max()


def stress_error(potential: Potential, structure: Structure) -> float:
    """eV/Å^3, against finite strains, and against its transpose; infinite where there is no stress."""
    if not potential.has_stress:
        return inf
    stress = predict(potential, structure, stress=True).stress[0].numpy()
    return max(np.abs(stress - numerical_stress(potential, structure)).max(), np.abs(stress - stress.T).max())


def net_force(potential: Potential, structure: Structure) -> float:
    """eV/Å."""
    return predict(potential, structure).forces.sum(0).abs().max().item()


def translation_error(potential: Potential, structure: Structure) -> float:
    """eV and eV/Å."""
    return difference(potential, structure, moved(structure, structure.positions + np.array([3.3, -17.1, 8.9])))


def turning_error(potential: Potential, structure: Structure, turn: np.ndarray) -> float:
    """Of a structure that is rotated or mirrored by `turn` (3, 3), eV and eV/Å."""
    return difference(potential, structure, deformed(structure, turn), lambda f: f @ torch.from_numpy(turn))


def rotation_error(potential: Potential, structure: Structure) -> float:
    """eV and eV/Å."""
    return turning_error(potential, structure, TURN)


def reflection_error(potential: Potential, structure: Structure) -> float:
    """Of the mirror image, turned, eV and eV/Å."""
    return turning_error(potential, structure, MIRROR @ TURN)


def permutation_error(potential: Potential, structure: Structure) -> float:
    """Of atoms in another order, eV and eV/Å."""
    order = np.random.default_rng(1).permutation(len(structure.numbers))
    shuffled = Structure(structure.numbers[order], structure.positions[order], structure.cell, structure.pbc)
    return difference(potential, structure, shuffled, lambda forces: forces[torch.from_numpy(order)])


def lattice_error(potential: Potential, structure: Structure) -> float:
    """Of atoms moved by lattice vectors, eV and eV/Å."""
    steps = np.array([[2, -1, 3], [0, 0, 0], [-1, 1, 0], [0, 4, 1]])[: len(structure.numbers)] * structure.pbc
    return difference(potential, structure, moved(structure, structure.positions + steps @ structure.cell))


def batch_error(potential: Potential) -> float:
    """Of structures evaluated together instead of one by one, eV and eV/Å."""
    batch = [structure() for structure in (ethanol, crystal, isolated, skewed, slab, far_atoms)]
    together, apart = predict(potential, batch), [predict(potential, structure) for structure in batch]
    energy = together.energy - torch.cat([p.energy for p in apart])
    forces = together.forces - torch.cat([p.forces for p in apart])
    return max(energy.abs().max().item(), forces.abs().max().item())


def copies_error(potential: Potential) -> float:
    """Of the energy of two molecules far apart against twice that of one, eV."""
    one = ethanol()
    positions = np.vstack([one.positions, one.positions + np.array([0, 0, 100.0])])
    two = Structure(np.tile(one.numbers, 2), positions, one.cell, one.pbc)
    return (predict(potential, two).energy - 2 * predict(potential, one).energy).abs().item()


def repeated(structure: Structure, counts: Sequence[int]) -> Structure:
    """A supercell; atoms of the first cell first."""
    atoms = ase.Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)
    return from_atoms(atoms.repeat(counts))


def supercell_error(potential: Potential, structure: Structure, counts: Sequence[int]) -> float:
    """Of energies (eV), forces (eV/Å) and stress (eV/Å^3), if there is one, of a supercell against its cell."""
    stress = potential.has_stress
    cell, whole = (predict(potential, s, stress=stress) for s in (structure, repeated(structure, counts)))
    n_cells = int(np.prod(counts))
    return max(
        (whole.energies - cell.energies.repeat(n_cells)).abs().max().item(),
        (whole.forces - cell.forces.repeat(n_cells, 1)).abs().max().item(),
        (whole.stress - cell.stress).abs().max().item() if stress else 0.0,
    )


def isolation_error(potential: Potential) -> float:
    """Forces on atoms out of reach of all others, eV/Å, and what such an atom's energy owes to them, eV."""
    alone, apart = predict(potential, isolated()), predict(potential, far_atoms())
    forces = max(prediction.forces.abs().max().item() for prediction in (alone, apart))
    return max(forces, (apart.energies[0] - alone.energies[0]).abs().item())


def second_derivative_error(potential: Potential) -> float:
    """Of the gradient of a random projection of the forces on water, against finite differences, relative."""
    structure = from_atoms(molecule("H2O"))
    structure = moved(structure, structure.positions + 0.05 * np.sin(np.arange(9).reshape(3, 3)))
    graph = batch_structures([structure], potential.cutoff, potential.dtype)
    direction = torch.randn(3, 3, dtype=potential.dtype, generator=torch.Generator().manual_seed(0))

    def projection(positions: Tensor, create_graph: bool) -> Tensor:
        with torch.enable_grad():
            positions = positions if positions.requires_grad else positions.detach().requires_grad_(True)
            energy = potential.atomic_energies(graph, positions, None).sum()
            (gradient,) = torch.autograd.grad(energy, positions, create_graph=create_graph)
        return (gradient * direction).sum()

    positions, step = graph.positions.clone().requires_grad_(True), 1e-4
    (found,) = torch.autograd.grad(projection(positions, create_graph=True), positions)
    units = torch.eye(9, dtype=potential.dtype).view(9, 3, 3)
    values = [[projection(graph.positions + t * step * unit, False) for unit in units] for t in (-2, -1, 1, 2)]
    far_back, back, front, far_front = torch.tensor(values, dtype=potential.dtype)
    numerical = (8 * (front - back) - (far_front - far_back)) / (12 * step)
    return ((found.flatten() - numerical).abs().max() / found.abs().max()).item()


class Proof(NamedTuple):
    """A measurement and the largest error that is no more than rounding."""

    error: Callable[[Potential], float]
    tolerance: float


def everywhere(error: Callable[[Potential, Structure], float], structures: Sequence = GENERIC) -> Callable:
    """The largest error over structures."""
    return lambda potential: max(error(potential, structure()) for structure in structures)


def supercells(potential: Potential) -> float:
    """Of two cells along one axis, and along two."""
    return max(supercell_error(potential, crystal(), counts) for counts in ((2, 1, 1), (1, 2, 2)))


PROOFS = {
    "translation": Proof(everywhere(translation_error), EXACT),
    "rotation": Proof(everywhere(rotation_error), EXACT),
    "reflection": Proof(everywhere(reflection_error), EXACT),
    "permutation": Proof(everywhere(permutation_error), EXACT),
    "lattice vectors": Proof(everywhere(lattice_error, PERIODIC), EXACT),
    "batch = single": Proof(batch_error, EXACT),
    "two copies = twice one": Proof(copies_error, EXACT),
    "supercell = cell": Proof(supercells, EXACT),
    "atoms alone": Proof(isolation_error, EXACT),
    "no net force": Proof(everywhere(net_force), EXACT),
    "forces = -gradient": Proof(everywhere(force_error), DERIVATIVE),
    "stress = strain derivative": Proof(everywhere(stress_error, (crystal, skewed)), DERIVATIVE),
    "second derivatives": Proof(second_derivative_error, DERIVATIVE),
}


def owed(potential: Potential) -> set[str]:
    """Names of the laws that a potential promises to obey."""
    excused = set()
    if not potential.equivariant:
        excused |= {"rotation", "reflection"}
    if not potential.readout.conservative:
        excused |= {"no net force", "forces = -gradient", "stress = strain derivative"}
    if potential.continuity_order == 0:  # finite differences straddle kinks
        excused |= {"forces = -gradient", "stress = strain derivative"}
    return PROOFS.keys() - excused


def broken(potential: Potential) -> set[str]:
    """Names of the laws that a potential does not obey."""
    return {name for name, proof in PROOFS.items() if not proof.error(potential) < proof.tolerance}
