"""Many systems relaxed at once by FIRE (Bitzek et al. 2006, doi:10.1103/PhysRevLett.97.170201); cells stay.

Steps of FIRE are in units of its own: all masses are 1.
"""

from dataclasses import dataclass, replace

import numpy as np

from mlip_design.dynamics.force_field import ForceField
from mlip_design.dynamics.systems import Systems

FIRST_STEP, LONGEST_STEP, LARGEST_MOVE = 0.1, 1.0, 0.2
"""Time steps, and Å that an atom moves in one at most."""
GROW, SHRINK, FIRST_MIX, FADE, PATIENCE = 1.1, 0.5, 0.1, 0.99, 5
"""Of the paper: f_inc, f_dec, alpha_start, f_alpha, N_min."""


@dataclass(frozen=True)
class Relaxed:
    """Systems at rest where they came to."""

    systems: Systems
    converged: np.ndarray
    """(n_systems,) bool."""
    steps: np.ndarray
    """(n_systems,) int64, until the forces were small, or all."""


def relaxed(systems: Systems, force_field: ForceField, force_limit: float, n_steps: int) -> Relaxed:
    """Positions at which no force is larger than `force_limit` (eV/Å), after n_steps at most.

    A system without finite forces somewhere stays at the last place where it had them, not converged.
    """
    n, index = systems.n_systems, systems.index
    step, mix, downhill = np.full(n, FIRST_STEP), np.full(n, FIRST_MIX), np.zeros(n, dtype=int)
    velocity, forces = np.zeros_like(systems.positions), np.zeros_like(systems.positions)
    resting, lost, taken = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64)
    before = systems
    for _ in range(n_steps + 1):
        found = force_field(systems).forces
        lost |= ~np.isfinite(systems.totals(found.sum(axis=1)))
        back = lost[index]
        systems = replace(systems, positions=np.where(back[:, None], before.positions, systems.positions))
        forces = np.where((back | resting[index])[:, None], 0.0, found)
        resting |= ~lost & (systems.largest(np.linalg.norm(forces, axis=1)) <= force_limit)
        moving = ~(resting | lost)
        if not moving.any() or (taken >= n_steps).any():
            break
        taken += moving
        power = systems.totals((forces * velocity).sum(axis=1))
        good = power >= 0
        downhill = np.where(good, downhill + 1, 0)
        patient = good & (downhill > PATIENCE)
        step = np.where(patient, np.minimum(step * GROW, LONGEST_STEP), np.where(good, step, step * SHRINK))
        mix = np.where(patient, mix * FADE, np.where(good, mix, FIRST_MIX))
        speeds = np.sqrt(systems.totals((velocity**2).sum(axis=1)))
        strengths = np.sqrt(systems.totals((forces**2).sum(axis=1)))
        along = mix * speeds / np.where(strengths > 0, strengths, 1.0)
        velocity = (1 - mix)[index, None] * velocity + along[index, None] * forces
        velocity = np.where((good & moving)[index, None], velocity, 0.0) + step[index, None] * forces
        move = step[index, None] * velocity
        longest = systems.largest(np.linalg.norm(move, axis=1))
        move *= np.minimum(LARGEST_MOVE / np.where(longest > 0, longest, 1.0), 1.0)[index, None]
        before, systems = (
            systems,
            replace(systems, positions=systems.positions + np.where(moving[index, None], move, 0.0)),
        )
    return Relaxed(systems, resting, taken)
