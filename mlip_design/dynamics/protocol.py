"""How a simulation is done: ensemble, temperature, time step, length, start, and what counts as failure.

Sources. 0.5 fs, 300 and 500 K, and a bond that departs by 0.5 Å as the end of stability: Fu et al., "Forces are not
enough" (arXiv:2210.07237). Conservation of energy in NVE as a test of a potential, for crystals too: Fu et al., eSEN
(arXiv:2502.12147).
"""

from dataclasses import dataclass
from math import inf
from typing import Literal

from mlip_design.dynamics.result import DynamicsError

N_RECORDS = 5000
"""Times at most at which energies and temperatures are kept."""


@dataclass(frozen=True)
class Protocol:
    """All that a trajectory depends on beside model, structure and seed. Raises DynamicsError for what cannot be."""

    ensemble: Literal["nve", "langevin"] = "nve"
    temperature: float = 300.0
    """K, of the velocities at the start and of the thermostat; in NVE half of it goes into the relaxed structure's
    potential energy."""
    final_temperature: float | None = None
    """K, of the thermostat at the end, which heats or cools evenly; None for `temperature`."""
    time_step: float = 0.5
    """fs."""
    steps: int = 2000
    friction: float = 0.01
    """1/fs, of the thermostat."""
    relax: bool = True
    """Whether positions are relaxed first; cells stay."""
    force_limit: float = 0.05
    """eV/Å; a structure is relaxed when no force is larger."""
    relax_steps: int = 300
    """At most; what has not come to rest by then starts all the same, and is counted."""
    frame_interval: float = 10.0
    """fs between two frames of the trajectory that is written."""
    record_interval: int | None = None
    """Steps between two energies that are kept; None for as few as leave `N_RECORDS`."""
    bond_departure: float = 0.5
    """Å by which a bond may differ from its relaxed length; beyond it has failed."""
    highest_temperature: float = 10_000.0
    """K, kinetic; beyond it the trajectory has exploded, and ends."""
    energy_change: float = 1.0
    """eV/atom by which the total energy may change in NVE; beyond it the trajectory has exploded, and ends."""

    def __post_init__(self):
        if self.ensemble not in ("nve", "langevin"):
            raise DynamicsError(f"ensemble: {self.ensemble!r} is neither nve nor langevin")
        if self.final_temperature is not None and self.ensemble == "nve":
            raise DynamicsError("final_temperature: nve has no thermostat that heats; choose ensemble langevin")
        positive = ("time_step", "steps", "force_limit", "frame_interval", "bond_departure", "energy_change")
        for name in (*positive, "highest_temperature", "friction"):
            if not 0 < getattr(self, name) < inf:
                raise DynamicsError(f"{name}: {getattr(self, name)} is not a number above 0")
        for name in ("temperature", "final_temperature", "relax_steps"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) < inf:
                raise DynamicsError(f"{name}: {getattr(self, name)} is not a number of at least 0")

    def temperature_at(self, step: int) -> float:
        """K, of the thermostat."""
        final = self.temperature if self.final_temperature is None else self.final_temperature
        return self.temperature + (final - self.temperature) * step / self.steps

    @property
    def every_record(self) -> int:
        """Steps between two energies that are kept."""
        return self.record_interval or -(-self.steps // N_RECORDS)

    @property
    def every_frame(self) -> int:
        """Steps between two frames that are written."""
        return max(round(self.frame_interval / self.time_step), 1)


PROTOCOLS = {
    "molecules": Protocol(),
    "hot": Protocol(temperature=500.0),
    "crystals": Protocol(time_step=1.0),
    "heating": Protocol(ensemble="langevin", temperature=50.0, final_temperature=1000.0, steps=10_000),
}
