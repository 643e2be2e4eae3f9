"""`Simulation`: many trajectories in step with one another. One that explodes ends, the others go on.

Velocity Verlet (Swope et al. 1982, doi:10.1063/1.442716): half a kick by the forces, a drift, half a kick by the new
forces; with a thermostat between two halves of the drift it is BAOAB.
"""

from dataclasses import replace

import numpy as np
from ase.units import fs, kB

from mlip_design.dynamics.bonds import find_bonds
from mlip_design.dynamics.force_field import Evaluation, ForceField
from mlip_design.dynamics.protocol import Protocol
from mlip_design.dynamics.result import Departure, End
from mlip_design.dynamics.start import degrees_of_freedom
from mlip_design.dynamics.systems import Systems, drifted, kicked
from mlip_design.dynamics.thermostat import Langevin


class Simulation:
    """Trajectories from their start; `advance` moves all that have not ended by one step.

    systems: relaxed, which gives the bonds, and with momenta. keys: one a system, of its noise.
    """

    def __init__(self, systems: Systems, force_field: ForceField, protocol: Protocol, keys: list[tuple[int, ...]]):
        self.systems = systems
        self.force_field = force_field
        self.protocol = protocol
        self.thermostat = Langevin(protocol.friction, keys) if protocol.ensemble == "langevin" else None
        self.freedom = degrees_of_freedom(systems, self.thermostat is not None)
        self.bonds = find_bonds(systems)
        n_records = protocol.steps // protocol.every_record + 1
        self.step = 0
        self.moving = np.ones(systems.n_systems, dtype=bool)
        self.part = systems
        """The systems that move; changes with them only."""
        self.ends: dict[int, End] = {}
        self.departures: dict[int, Departure] = {}
        self.energies = np.full((n_records, systems.n_systems), np.nan)
        """eV, total; NaN after the end of a trajectory."""
        self.temperatures = np.full_like(self.energies, np.nan)
        """K, kinetic."""
        self.highest = np.zeros(systems.n_systems)
        """K, the highest kinetic temperature of any step."""
        self.forces = np.zeros_like(systems.positions)
        self.potential_energies = np.zeros(systems.n_systems)

    def begin(self) -> None:
        """Evaluate the start. Raises what the force field raises."""
        self.take(self.evaluate(), self.systems)
        self.watch()

    @property
    def is_over(self) -> bool:
        """Whether nothing moves any more."""
        return self.step >= self.protocol.steps or not self.moving.any()

    def advance(self) -> None:
        """One step of everything that moves."""
        duration = self.protocol.time_step * fs
        self.step += 1
        before = self.systems
        moved = drifted(kicked(before, self.forces, duration / 2), duration / 2)
        if self.thermostat is not None:
            temperature = self.protocol.temperature_at(self.step)
            moved = self.thermostat(moved, temperature, self.protocol.time_step, self.step)
        moved = drifted(moved, duration / 2)
        self.systems = self.with_stopped(moved, before)
        self.take(self.evaluate(), before)
        self.systems = self.with_stopped(kicked(self.systems, self.forces, duration / 2), self.systems)
        self.watch()

    def with_stopped(self, moved: Systems, before: Systems) -> Systems:
        """What moves as it moved, at rest what has ended."""
        moving = self.moving[moved.index][:, None]
        return replace(
            moved,
            positions=np.where(moving, moved.positions, before.positions),
            momenta=np.where(moving, moved.momenta, 0.0),
        )

    def evaluate(self) -> Evaluation:
        """Energies and forces of the systems that move."""
        atoms = self.moving[self.systems.index]
        self.part = replace(
            self.part, positions=self.systems.positions[atoms], momenta=self.systems.momenta[atoms]
        )
        return self.force_field(self.part)

    def take(self, found: Evaluation, before: Systems) -> None:
        """Keep energies and forces of the systems that move; end those without."""
        atoms = self.moving[self.systems.index]
        self.potential_energies[self.moving] = found.energies
        self.forces = np.zeros_like(self.forces)
        self.forces[atoms] = found.forces
        which = np.flatnonzero(self.moving)
        unknown = ~np.isfinite(self.potential_energies + self.systems.totals(self.forces.sum(axis=1)))
        for number, reason in found.failures.items():
            self.end(np.arange(len(unknown)) == which[number], f"no forces: {reason}", before)
        self.end(unknown, "energy or forces are not finite", before)

    def end(self, which: np.ndarray, reason: str, before: Systems | None = None) -> None:
        """End trajectories, (n_systems,) bool, that move; where `before` is given, they stay as they were there."""
        which = which & self.moving
        if not which.any():
            return
        self.ends |= {int(number): End(self.step, reason) for number in np.flatnonzero(which)}
        self.moving = self.moving & ~which
        self.systems = self.with_stopped(self.systems, self.systems if before is None else before)
        self.forces = np.where(self.moving[self.systems.index][:, None], self.forces, 0.0)
        self.part = self.systems.chosen(self.moving)

    def watch(self) -> None:
        """Record energies and temperatures, and look at what bounds and bonds say."""
        protocol = self.protocol
        kinetic = self.systems.kinetic_energies
        temperatures = 2 * kinetic / (self.freedom * kB)
        totals = self.potential_energies + kinetic
        self.highest = np.where(self.moving, np.maximum(self.highest, temperatures), self.highest)
        if self.step % protocol.every_record == 0:
            record = self.step // protocol.every_record
            self.energies[record] = np.where(self.moving, totals, np.nan)
            self.temperatures[record] = np.where(self.moving, temperatures, np.nan)
        for number, (bond, length) in self.bonds.worst(self.systems.positions, protocol.bond_departure).items():
            if self.moving[number] and number not in self.departures:
                start = self.systems.starts[number]
                atoms = (int(self.bonds.first[bond] - start), int(self.bonds.second[bond] - start))
                self.departures[number] = Departure(self.step, atoms, float(self.bonds.relaxed[bond]), length)
        self.end(temperatures > protocol.highest_temperature, f"hotter than {protocol.highest_temperature:g} K")
        if self.thermostat is None:
            change = np.abs(totals - self.energies[0]) / self.systems.sizes
            self.end(change > protocol.energy_change, f"energy changed by over {protocol.energy_change:g} eV/atom")
