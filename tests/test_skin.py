"""Pairs that are kept from step to step: exactly what a search of every step finds, with fewer searches."""

import ase
import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from checkpoints import methanol
from conftest import BASE_MODEL, MODELS, build
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design.calculator import MLIPCalculator
from mlip_design.neighbors import candidate_pairs
from mlip_design.pair_list import PairList
from mlip_design.structures import Structure, StructureError, from_atoms

EXACT = 1e-12  # eV, eV/Å, eV/Å^3


def skewed_copper() -> ase.Atoms:
    """Four atoms in a skewed cell smaller than the cutoff."""
    atoms = bulk("Cu", "fcc", a=3.7, cubic=True)
    atoms.set_cell(atoms.cell[:] @ [[1, 0.2, 0], [0, 1, 0.1], [0, 0, 1]], scale_atoms=True)
    atoms.rattle(0.1, seed=2)
    return atoms


def water() -> ase.Atoms:
    """Molecules in a periodic box."""
    atoms = ase.Atoms(cell=[7.0, 7.0, 7.0], pbc=True)
    for place in ([1.5, 1.5, 1.5], [4.5, 4.0, 1.8], [2.0, 5.0, 5.0]):
        one = molecule("H2O")
        one.translate(place)
        atoms += one
    return atoms


def difference(first: MLIPCalculator, second: MLIPCalculator, atoms: ase.Atoms) -> float:
    """Largest difference between two calculators in energy, forces and, of crystals, stress."""
    properties = ["energy", "forces", *(["stress"] if atoms.pbc.all() and first.potential.has_stress else [])]
    for calculator in (first, second):
        calculator.calculate(atoms, properties)
    return max(np.abs(first.results[name] - second.results[name]).max() for name in properties)


@pytest.mark.parametrize("atoms", [methanol(), skewed_copper(), water()], ids=["molecule", "dense", "box"])
@pytest.mark.parametrize("model", MODELS)
def test_a_random_walk_gives_the_same_numbers_with_fewer_searches(model, atoms):
    potential = build(f"model={model}")
    with_skin, without = MLIPCalculator(potential, skin=0.8), MLIPCalculator(potential, skin=0.0)
    random, atoms = np.random.default_rng(1), atoms.copy()
    for _ in range(12):
        atoms.positions += random.normal(0, 0.03, atoms.positions.shape)
        assert difference(with_skin, without, atoms) <= EXACT
    assert without.pair_list.n_searches == 12
    assert 1 <= with_skin.pair_list.n_searches <= 4


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    step=st.sampled_from([0.01, 0.05, 0.4]),
    skin=st.sampled_from([0.0, 0.1, 0.5, 2.0]),
    cutoff=st.sampled_from([2.0, 3.5]),
)
def test_pairs_are_those_of_a_search_whatever_happens(seed, step, skin, cutoff):
    """Atoms that walk, or jump by a lattice vector; cells, elements and periodic directions that change."""
    random = np.random.default_rng(seed)
    pair_list, sites = PairList(cutoff, skin), 1.9 * np.array(list(np.ndindex(2, 2, 2)))[:5]
    walk, cell, pbc = np.zeros((5, 3)), np.diag([4.1, 4.2, 4.3]), np.array([True, True, False])
    for _ in range(8):
        walk = np.clip(walk + random.normal(0, step, walk.shape), -0.4, 0.4)
        what = random.integers(10)
        pbc = random.permutation(pbc) if what == 0 else pbc
        cell = cell * random.uniform(1, 1.02) if what == 1 else cell
        jump = (random.integers(-1, 2, (5, 3)) * pbc) @ cell if what == 2 else 0.0
        structure = Structure(
            random.permutation(5) + 1 if what == 3 else np.arange(5) + 1, sites + walk + jump, cell, pbc
        )
        found = pair_list.pairs(structure)
        expected = candidate_pairs(structure.positions, structure.cell, structure.pbc, cutoff)
        for name, values in found._asdict().items():
            assert np.array_equal(values, getattr(expected, name)), name
    assert pair_list.n_searches == 8 or skin > 0


def test_dynamics_through_a_boundary_are_the_same():
    runs = []
    for skin in (0.5, 0.0):
        atoms = water()
        atoms.calc = MLIPCalculator(build(f"model={BASE_MODEL}"), skin=skin)
        MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(1))
        dynamics = VelocityVerlet(atoms, 0.5 * units.fs)
        dynamics.attach(atoms.wrap, interval=5)
        dynamics.run(40)
        runs.append((atoms.positions, atoms.calc.pair_list.n_searches))
    (positions, few), (expected, many) = runs
    assert np.abs(positions - expected).max() <= EXACT
    assert few <= many / 3


def test_wrapping_atoms_changes_no_number():
    potential = build(f"model={BASE_MODEL}")
    calculator, atoms = MLIPCalculator(potential), water()
    atoms.translate([3.2, 3.2, 3.2])
    before = calculator.get_forces(atoms)
    wrapped = atoms.copy()
    wrapped.wrap()
    assert np.abs(wrapped.positions - atoms.positions).max() > 5
    assert np.abs(calculator.get_forces(wrapped) - before).max() <= 1e-10


def test_other_structures_are_searched_anew():
    calculator = MLIPCalculator(build(f"model={BASE_MODEL}"))
    exchanged, strained, open_slab = water(), water(), water()
    exchanged.numbers[[0, 1]] = exchanged.numbers[[1, 0]]
    strained.set_cell(strained.cell * 1.001)
    open_slab.pbc = (True, True, False)
    for count, atoms in enumerate([water(), exchanged, strained, open_slab, methanol()], start=1):
        calculator.calculate(atoms)
        assert calculator.pair_list.n_searches == count
    calculator.calculate(methanol())
    assert calculator.pair_list.n_searches == 5


def test_atoms_that_come_to_coincide_are_refused_without_a_search():
    pair_list = PairList(3.0, 4.0)

    def pair(distance: float) -> Structure:
        return Structure(
            np.array([1, 1]), np.array([[0.0, 0, 0], [distance, 0, 0]]), np.zeros((3, 3)), np.zeros(3, bool)
        )

    pair_list.pairs(pair(1.0))
    for distance, message in ((0.001, "atoms 0 and 1 coincide"), (np.nan, "positions must be finite")):
        with pytest.raises(StructureError, match=message):
            pair_list.pairs(pair(distance))
    assert pair_list.n_searches == 1


def test_a_skin_that_is_too_trusting_is_caught(monkeypatch):
    """A list that is never made anew misses what comes near."""
    monkeypatch.setattr(PairList, "suffices", lambda self, structure: self.searched is not None)
    far, near = methanol() + ase.Atoms("H", [[9.0, 0, 0]]), methanol() + ase.Atoms("H", [[2.5, 0, 0]])
    trusting, exact = PairList(5.0, 0.5), candidate_pairs(near.positions, near.cell[:], near.pbc, 5.0)
    trusting.pairs(from_atoms(far))
    assert len(trusting.pairs(from_atoms(near)).source) < len(exact.source)


@pytest.mark.parametrize("skin", [-0.1, np.nan])
def test_an_impossible_skin_is_refused(skin):
    with pytest.raises(ValueError, match="is not a length of at least 0 Å"):
        MLIPCalculator(build(f"model={BASE_MODEL}"), skin=skin)
