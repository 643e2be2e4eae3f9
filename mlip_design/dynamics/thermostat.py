"""Langevin thermostat: the O of BAOAB (Leimkuhler and Matthews 2013, doi:10.1093/amrx/abs010).

p -> c p + sqrt((1 - c^2) m k T) R,  c = exp(-friction dt),  R normal. Between two half drifts, as here, positions of a
harmonic oscillator are distributed exactly as they should be, at every time step; its momenta have the temperature
T (1 - (omega dt)^2 / 4).
"""

from dataclasses import dataclass, replace

import numpy as np
from ase.units import kB

from mlip_design.dynamics.start import normals
from mlip_design.dynamics.systems import Systems


@dataclass(frozen=True)
class Langevin:
    """Friction and noise. keys: one a system, all that its noise depends on beside the step."""

    friction: float
    """1/fs."""
    keys: list[tuple[int, ...]]

    def __call__(self, systems: Systems, temperature: float, time_step: float, step: int) -> Systems:
        """Momenta after one step. temperature: K. time_step: fs."""
        kept = np.exp(-self.friction * time_step)
        noise = normals(systems, [(*key, step) for key in self.keys])
        width = np.sqrt((1 - kept**2) * systems.masses * kB * temperature)
        return replace(systems, momenta=kept * systems.momenta + width * noise)
