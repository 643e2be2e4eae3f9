"""The ASE calculator: the numbers of its potential, and dynamics that conserve energy."""

import ase
import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from checkpoints import methanol
from conftest import BASE_MODEL, build, predict

from mlip_design.calculator import MLIPCalculator
from mlip_design.potential import UnknownElementError
from mlip_design.structures import StructureError, from_atoms


def copper() -> ase.Atoms:
    """A rattled crystal."""
    atoms = bulk("Cu", "fcc", a=3.7, cubic=True)
    atoms.rattle(0.1, seed=2)
    return atoms


# Values


def test_values_are_those_of_the_potential(potential):
    for atoms in (methanol(), copper()):
        atoms.calc = MLIPCalculator(potential)
        prediction = predict(potential, from_atoms(atoms), stress=True)
        assert atoms.get_potential_energy() == prediction.energy.item()
        assert np.array_equal(atoms.get_potential_energies(), prediction.energies.numpy())
        assert np.array_equal(atoms.get_forces(), prediction.forces.numpy())
        assert atoms.get_potential_energy(force_consistent=True) == prediction.energy.item()
        if atoms.pbc.all():
            assert np.allclose(atoms.get_stress(voigt=False), prediction.stress[0].numpy(), rtol=0, atol=1e-13)


def test_signs_and_units_are_those_of_ase():
    atoms = copper()
    atoms.calc = MLIPCalculator(build(f"model={BASE_MODEL}"))
    assert np.abs(atoms.get_forces() - calculate_numerical_forces(atoms, eps=1e-4)).max() < 1e-6
    assert np.abs(atoms.get_stress() - calculate_numerical_stress(atoms, eps=1e-5)).max() < 1e-6


def test_no_stress_without_a_periodic_cell():
    for atoms in (methanol(), ase.Atoms("H", cell=[3, 3, 0], pbc=(True, True, False))):
        atoms.calc = MLIPCalculator(build(f"model={BASE_MODEL}"))
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_stress()


def test_results_follow_the_atoms():
    atoms = methanol()
    atoms.calc = MLIPCalculator(build(f"model={BASE_MODEL}"))
    before = atoms.get_potential_energy()
    atoms.positions[0] += 0.1
    assert atoms.get_potential_energy() != before


def test_impossible_inputs_are_refused_in_one_line():
    unknown, broken = molecule("PH3"), methanol()
    broken.positions[0] = np.nan
    for atoms, error, words in (
        (unknown, UnknownElementError, "element P is unknown to this potential (it knows H, C, N, O"),
        (broken, StructureError, "positions must be finite"),
        (ase.Atoms(), StructureError, "has no atoms"),
    ):
        atoms.calc = MLIPCalculator(build(f"model={BASE_MODEL}"))
        with pytest.raises(error) as caught:
            atoms.get_potential_energy()
        assert words in str(caught.value) and "\n" not in str(caught.value)


# In use


def test_relaxation_goes_downhill():
    atoms = methanol()
    atoms.calc = MLIPCalculator(build(f"model={BASE_MODEL}"))
    before = atoms.get_potential_energy(), np.abs(atoms.get_forces()).max()
    BFGS(atoms, logfile=None, maxstep=0.05).run(fmax=0.01, steps=15)
    assert atoms.get_potential_energy() < before[0] and np.abs(atoms.get_forces()).max() < before[1]


def drift(time_step: float) -> float:
    """Largest departure of the total energy (eV) within 4 fs of dynamics with a time step in fs."""
    atoms = methanol()
    atoms.calc = MLIPCalculator(build(f"model={BASE_MODEL}"))
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(1))
    start, energies = atoms.get_total_energy(), []
    dynamics = VelocityVerlet(atoms, time_step * units.fs)
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()))
    dynamics.run(round(4 / time_step))
    return np.abs(np.array(energies) - start).max()


def test_dynamics_conserve_energy_with_the_order_of_the_integrator():
    coarse, fine = drift(0.4), drift(0.2)
    assert fine < 0.35 * coarse  # a quarter, for a conservative force and velocity Verlet
