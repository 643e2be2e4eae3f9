"""`Trajectory`: what one simulation of one structure leaves to be measured."""

from dataclasses import dataclass

import numpy as np

from mlip_design.dynamics.result import Departure, End


@dataclass(frozen=True)
class Trajectory:
    """From its start to its end."""

    structure: int
    """Which of the structures, from 0."""
    seed: int
    numbers: np.ndarray
    """(n_atoms,) int64, atomic numbers."""
    relaxed: bool | None
    """Whether its start was; None if nobody asked for it."""
    times: np.ndarray
    """(n_records,), ps."""
    energies: np.ndarray
    """(n_records,), eV, total; NaN after its end."""
    temperatures: np.ndarray
    """(n_records,), K, kinetic; NaN after its end."""
    highest_temperature: float
    """K, of any step."""
    time_step: float
    """fs."""
    end: End | None
    """None for one that came to its last step."""
    departure: Departure | None
    """None for one whose bonds all held."""
