"""The integrators against ASE's and against statistics; starts, relaxation, bonds; what fails ends alone."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.md.verlet import VelocityVerlet
from ase.units import fs, kB
from conftest import build, crystal, ethanol, isolated, skewed, slab
from dynamics_calculators import Springs, triangle
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design.calculator import MLIPCalculator
from mlip_design.dynamics import simulate as simulate_module
from mlip_design.dynamics.bonds import find_bonds
from mlip_design.dynamics.force_field import Evaluation, EvaluatorForces, PotentialForces
from mlip_design.dynamics.protocol import PROTOCOLS, Protocol
from mlip_design.dynamics.relax import relaxed
from mlip_design.dynamics.result import DynamicsError
from mlip_design.dynamics.simulate import Starts, simulate
from mlip_design.dynamics.simulation import Simulation
from mlip_design.dynamics.start import degrees_of_freedom, warmed
from mlip_design.dynamics.systems import Systems, side_by_side
from mlip_design.evaluator import CalculatorEvaluator
from mlip_design.graph import batch_structures
from mlip_design.structures import Structure, from_atoms


def calculator(name: str, **arguments) -> EvaluatorForces:
    """The forces of a calculator of `dynamics_calculators`, or of `module:callable`."""
    name = name if ":" in name else f"dynamics_calculators:{name}"
    return EvaluatorForces(CalculatorEvaluator(name, arguments))


def started(structures: list[Structure], force_field, temperature: float = 300.0, **changes) -> Simulation:
    """A simulation that has begun, of one seed."""
    keys = [(7, number) for number in range(len(structures))]
    systems = warmed(side_by_side(structures), temperature, keys)
    protocol = replace(Protocol(temperature=temperature, steps=100), **changes)
    simulation = Simulation(systems, force_field, protocol, keys)
    simulation.begin()
    return simulation


def compare_with_ase(structures: list[Structure], force_field, make_calculator, n_steps: int = 30) -> float:
    """The largest difference of positions (Å), momenta (sqrt(amu eV)) and total energies (eV) of any step."""
    simulation = started(structures, force_field, highest_temperature=1e9, energy_change=1e9)
    twins = []
    momenta_of = np.split(simulation.systems.momenta, simulation.systems.starts[1:])
    for structure, momenta in zip(simulation.systems.structures(), momenta_of, strict=True):
        atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)
        atoms.calc = make_calculator()
        atoms.set_momenta(momenta)
        twins.append((atoms, VelocityVerlet(atoms, timestep=0.5 * fs)))
    worst = 0.0
    for step in range(1, n_steps + 1):
        simulation.advance()
        for _, dynamics in twins:
            dynamics.run(1)
        positions = np.concatenate([atoms.positions for atoms, _ in twins])
        momenta = np.concatenate([atoms.get_momenta() for atoms, _ in twins])
        energies = [atoms.get_total_energy() for atoms, _ in twins]
        differences = (
            simulation.systems.positions - positions,
            simulation.systems.momenta - momenta,
            simulation.energies[step] - energies,
        )
        worst = max(worst, *(np.abs(difference).max() for difference in differences))
    return worst


def test_every_step_is_that_of_ase_for_potentials():
    """Molecules, crystals and one atom together: velocity Verlet of a batch is that of its systems alone."""
    potential = build("model=smooth_attn", sizes={"n_features": 16, "n_layers": 1})
    structures = [ethanol(), crystal(), slab(), isolated(), skewed()]
    known = [s for s in structures if set(s.numbers.tolist()) <= set(potential.elements)]
    assert len(known) == 5
    assert compare_with_ase(known, PotentialForces(potential), lambda: MLIPCalculator(potential)) < 1e-10


def test_every_step_is_that_of_ase_for_calculators():
    structures = [from_atoms(bulk("Cu", cubic=True)), from_atoms(bulk("Au", cubic=True))]
    assert compare_with_ase(structures, calculator("ase.calculators.emt:EMT"), EMT) < 1e-10


class Interrupted(PotentialForces):
    """A potential that is stopped at its `last` evaluation."""

    def __init__(self, potential, last: int):
        super().__init__(potential)
        self.left = last

    def __call__(self, systems: Systems) -> Evaluation:
        """See `PotentialForces`."""
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return super().__call__(systems)


def test_a_potential_goes_on_bit_by_bit(tmp_path, monkeypatch):
    """Although the neighbours of a simulation that goes on were searched for elsewhere, and one batch was done."""
    monkeypatch.setattr(simulate_module, "SAVE_SECONDS", 0.0)
    potential = build("model=smooth_attn", sizes={"n_features": 16, "n_layers": 1})
    starts = Starts({0: ethanol(), 1: slab()}, dict.fromkeys((0, 1)))
    protocol = Protocol(temperature=100.0, steps=40, highest_temperature=1e9, energy_change=1e9)

    def run(force_field, folder: str):
        return simulate(force_field, starts, protocol, [1, 2], 20, tmp_path / folder)

    whole = run(PotentialForces(potential), "whole")
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(potential, 66), "stopped")
    counted = Interrupted(potential, 1000)
    again = run(counted, "stopped")
    assert 1000 - counted.left == 2 * 41 - 65
    for one, other in zip(whole, again, strict=True):
        assert (one.energies == other.energies).all() and (one.temperatures == other.temperatures).all()


def test_a_wrong_step_is_caught():
    """An integrator that takes old forces for the second kick differs from ASE's at once."""

    class Late:
        """Answers with what was right one step before."""

        def __init__(self):
            self.inner, self.last = calculator("ase.calculators.emt:EMT"), None

        def __call__(self, systems: Systems) -> Evaluation:
            now = self.inner(systems)
            answer, self.last = self.last or now, now
            return answer

    assert compare_with_ase([from_atoms(bulk("Cu", cubic=True).repeat((2, 1, 1)))], Late(), EMT, 5) > 1e-6


def test_graphs_of_moving_systems_are_those_of_a_search():
    """With a skin pairs are searched for rarely, and nothing that comes out depends on it."""
    potential = build("model=baseline", sizes={"n_features": 16, "n_layers": 1})
    rng = np.random.default_rng(0)
    systems = side_by_side([ethanol(), crystal(), slab()])
    forces = PotentialForces(potential, skin=0.5)
    for _ in range(30):
        moves = 0.03 * rng.standard_normal(systems.positions.shape)
        systems = replace(systems, positions=systems.positions + moves)
        found, expected = (
            forces.graphs(systems),
            batch_structures(systems.structures(), potential.cutoff, potential.dtype),
        )
        for name in ("source", "target", "shift", "reverse", "positions", "cell", "graph_index"):
            assert (getattr(found, name) == getattr(expected, name)).all()
    assert 3 < forces.graphs.n_searches < 45


def test_starts_are_at_rest_as_a_whole_and_at_their_temperature():
    """Maxwell and Boltzmann: energy k T / 2 a degree of freedom, on average; no linear or angular momentum."""
    structures = [from_atoms(molecule("CH3CH2OH"))] * 300 + [from_atoms(molecule("CO2")), isolated(), crystal()]
    systems = warmed(side_by_side(structures), 500.0, [(3, number) for number in range(len(structures))])
    freedom = degrees_of_freedom(systems, thermostat=False)
    assert freedom[[0, 300, 301, 302]].tolist() == [3 * 9 - 6, 3 * 3 - 5, 1, 3 * 4 - 3]
    assert degrees_of_freedom(systems, thermostat=True)[0] == 27
    assert np.abs(systems.totals(systems.momenta)).max() < 1e-12
    turning = systems.totals(np.cross(systems.positions, systems.momenta))
    assert np.abs(turning[:301]).max() < 1e-11
    energies = systems.kinetic_energies[:300] / (kB * 500.0 / 2)
    assert energies.mean() == pytest.approx(21, abs=4 * np.sqrt(2 * 21 / 300))
    assert energies.var() == pytest.approx(2 * 21, rel=0.4)
    again = warmed(side_by_side(structures[300:]), 500.0, [(3, 300), (3, 301), (3, 302)])
    assert (again.momenta == systems.momenta[300 * 9 :]).all()


def test_langevin_gives_the_distribution_of_oscillators():
    """Of BAOAB: <x^2> = k T / K at every time step, momenta of temperature T (1 - (omega dt)^2 / 4)."""
    atoms = from_atoms(Atoms("C" * 400, np.random.default_rng(1).uniform(-1, 1, (400, 3)) * 40))
    stiffness, time_step = 8.0, 8.0
    rate = np.sqrt(stiffness / Atoms("C").get_masses()[0]) * time_step * fs
    assert 0.5 < rate < 1
    systems = replace(side_by_side([atoms]), positions=np.zeros((400, 3)))
    changes = {"ensemble": "langevin", "time_step": time_step, "friction": 0.03, "steps": 600}
    protocol = Protocol(temperature=400.0, bond_departure=1e9, **changes)
    simulation = Simulation(side_by_side([atoms]), calculator("Springs", stiffness=stiffness), protocol, [(5, 0)])
    simulation.systems = systems
    simulation.begin()
    spread, heat = [], []
    while not simulation.is_over:
        simulation.advance()
        if simulation.step > 60:
            spread.append(stiffness * (simulation.systems.positions**2).mean() / kB)
            heat.append(2 * simulation.systems.kinetic_energies[0] / (1200 * kB))
    assert np.mean(spread) == pytest.approx(400, rel=0.01)
    assert np.mean(heat) == pytest.approx(400 * (1 - rate**2 / 4), rel=0.01)
    assert rate**2 / 4 > 0.05  # far more than what is allowed above


def test_noise_depends_on_seed_and_step_alone():
    """A system in a batch moves as it does alone; another seed moves otherwise."""
    changes = {"ensemble": "langevin", "temperature": 300.0, "steps": 20}
    together = started([from_atoms(triangle("COS")), from_atoms(triangle("NOS"))], calculator("Morse"), **changes)
    alone = started([from_atoms(triangle("COS"))], calculator("Morse"), **changes)
    while not together.is_over:
        together.advance()
        alone.advance()
    assert (together.systems.positions[:3] == alone.systems.positions).all()
    assert not np.allclose(together.systems.momenta[3:], alone.systems.momenta)


def test_heating_follows_the_ramp():
    protocol = Protocol(ensemble="langevin", temperature=0.0, final_temperature=800.0, steps=400, friction=0.1)
    springs = from_atoms(Atoms("C" * 100, 5.0 * np.array(list(np.ndindex(5, 5, 4)))))
    simulation = Simulation(
        side_by_side([springs]), calculator("Springs"), replace(protocol, bond_departure=1e9), [(1, 0)]
    )
    simulation.systems = replace(simulation.systems, positions=np.zeros((100, 3)))
    simulation.begin()
    while not simulation.is_over:
        simulation.advance()
    early, late = simulation.temperatures[150:250].mean(), simulation.temperatures[350:].mean()
    assert early == pytest.approx(400, rel=0.15) and late == pytest.approx(740, rel=0.15)


def test_relaxation_finds_minima_of_all_at_once():
    """Of different sizes, from different distances; what is at rest does not move on."""
    structures = [from_atoms(triangle(length=length)) for length in (1.0, 1.2, 1.5)]
    result = relaxed(
        side_by_side([*structures, from_atoms(Atoms("CO", [[0, 0, 0], [0, 0, 1.2]]))]),
        calculator("Morse"),
        1e-3,
        500,
    )
    assert result.converged.all()
    assert result.steps[3] == 0 < result.steps[0]
    for structure in result.systems.structures()[:3]:
        distances = np.linalg.norm(structure.positions - structure.positions[[1, 2, 0]], axis=1)
        assert distances == pytest.approx(1.2, abs=1e-3)
    few = relaxed(side_by_side(structures), calculator("Morse"), 1e-3, 3)
    assert few.converged.tolist()[::2] == [False, False] and few.steps.max() == 3


def test_bonds_are_found_through_the_walls_of_a_cell():
    diamond = bulk("C", "diamond", a=3.57)
    diamond.positions += 0.9
    bonds = find_bonds(side_by_side([from_atoms(diamond), from_atoms(molecule("CH3CH2OH"))]))
    assert (bonds.system == 0).sum() == 4 and (bonds.system == 1).sum() == 8
    assert bonds.relaxed[:4] == pytest.approx(3.57 * np.sqrt(3) / 4)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.55, 3.0), st.integers(0, 3))
def test_a_bond_that_departs_is_named(stretch, which):
    """Only from half an Å on, and with the atoms of its own system."""
    structures = [from_atoms(Atoms("CO", [[0, 0, 0], [0, 0, 1.2]]))] * 4
    systems = side_by_side(structures)
    bonds = find_bonds(systems)
    positions = systems.positions.copy()
    assert not bonds.worst(positions, 0.5)
    positions[2 * which + 1, 2] += stretch
    assert bonds.worst(positions, 0.5) == {which: (which, pytest.approx(1.2 + stretch))}
    positions[2 * which + 1, 2] = 1.2 + 0.45
    assert not bonds.worst(positions, 0.5)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raise", "no forces: CalculationFailed: SCF not converged"),
        ("nan", "energy or forces are not finite"),
        ("far", "hotter than 10000 K"),
        ("climb", "energy changed by over 1 eV/atom"),
    ],
)
def test_what_fails_ends_alone(how, reason):
    """The others move as if it had never been there."""
    structures = [from_atoms(triangle(symbols)) for symbols in ("COS", "NOS", "COF")]
    simulation = started(structures, calculator("Failing", how=how))
    whole = started([structures[0], structures[0], structures[2]], calculator("Morse"))
    while not simulation.is_over:
        simulation.advance()
        whole.advance()
    assert {number: end.reason for number, end in simulation.ends.items()} == {1: reason}
    assert simulation.step == 100 and 28 <= simulation.ends[1].step <= 31
    assert np.isnan(simulation.energies[40:, 1]).all() and np.isfinite(simulation.energies[:, [0, 2]]).all()
    assert (simulation.systems.positions[:3] == whole.systems.positions[:3]).all()
    assert np.isfinite(simulation.systems.positions).all()


def test_atoms_that_fly_apart_lose_their_bonds_first():
    simulation = started([from_atoms(triangle("NOS"))], calculator("Failing", how="apart"), steps=400)
    while not simulation.is_over:
        simulation.advance()
    departure = simulation.departures[0]
    assert 30 < departure.step <= (simulation.ends[0].step if simulation.ends else 400)
    assert departure.length - departure.relaxed > 0.5


def test_springs_hold_nothing_but_energy():
    """A harmonic oscillator under velocity Verlet: the energy returns to where it was, drift is rounding."""
    simulation = started(
        [from_atoms(triangle())], EvaluatorForces(CalculatorEvaluator("dynamics_calculators:Springs", {}))
    )
    while not simulation.is_over:
        simulation.advance()
    assert np.ptp(simulation.energies) < 1e-3
    assert Springs.implemented_properties == ["energy", "forces"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ensemble": "npt"}, "ensemble: 'npt' is neither nve nor langevin"),
        ({"time_step": 0.0}, "time_step: 0.0 is not a number above 0"),
        ({"temperature": -1.0}, "temperature: -1.0 is not a number of at least 0"),
        ({"temperature": float("nan")}, "temperature: nan"),
        ({"final_temperature": 500.0}, "final_temperature: nve has no thermostat"),
    ],
)
def test_protocols_that_cannot_be_are_refused(changes, message):
    with pytest.raises(DynamicsError, match=message):
        replace(PROTOCOLS["molecules"], **changes)
