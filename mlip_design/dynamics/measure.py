"""Numbers of trajectories: conservation of energy, heat, bonds, survival.

drift          slope of a line through the total energy an atom over time, the first tenth left out; meV/atom/ps
fluctuation    root mean square of what is left beside that line; meV/atom
Both are of NVE trajectories that came to their last step; those that ended are counted by `survival`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.formula import Formula
from ase.symbols import Symbols

from mlip_design.dynamics.protocol import Protocol
from mlip_design.dynamics.trajectory import Trajectory

DROPPED = 0.1
"""Fraction of the records at the start of which drift and fluctuation know nothing."""


def measure(trajectory: Trajectory, protocol: Protocol) -> dict[str, Any]:
    """All of one trajectory; times in ps, temperatures in K, lengths in Å. What does not apply is None."""
    end, departure = trajectory.end, trajectory.departure
    drift, fluctuation = None, None
    if end is None and protocol.ensemble == "nve":
        drift, fluctuation = conservation(trajectory)
    mean = float(np.nanmean(trajectory.temperatures)) if np.isfinite(trajectory.temperatures).any() else None
    failures = [event.step for event in (end, departure) if event is not None]
    to_ps = trajectory.time_step / 1000
    return {
        "structure": trajectory.structure,
        "formula": Formula(str(Symbols(trajectory.numbers))).format("hill"),
        "atoms": len(trajectory.numbers),
        "seed": trajectory.seed,
        "relaxed": trajectory.relaxed,
        "survived": not failures,
        "time": (protocol.steps if end is None else end.step) * to_ps,
        "time_to_failure": min(failures) * to_ps if failures else None,
        "ended": None if end is None else end.reason,
        "departure": None
        if departure is None
        else {
            "time": departure.step * to_ps,
            "atoms": list(departure.atoms),
            "bond": "-".join(str(Symbols([trajectory.numbers[atom]])) for atom in departure.atoms),
            "relaxed": departure.relaxed,
            "length": departure.length,
        },
        "drift": drift,
        "fluctuation": fluctuation,
        "mean_temperature": mean,
        "highest_temperature": trajectory.highest_temperature,
        "temperature_spike": None if mean is None else trajectory.highest_temperature - mean,
    }


def conservation(trajectory: Trajectory) -> tuple[float | None, float | None]:
    """Drift (meV/atom/ps) and fluctuation (meV/atom); None for fewer than three records."""
    first = int(np.ceil(DROPPED * len(trajectory.energies)))
    times = trajectory.times[first:]
    energies = 1000 * trajectory.energies[first:] / len(trajectory.numbers)
    if len(times) < 3:
        return None, None
    energies = energies - energies.mean()
    slope, offset = np.polyfit(times, energies, 1)
    return float(slope), float(np.sqrt(np.mean((energies - offset - slope * times) ** 2)))


def summarize(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Over trajectories, each counting the same. drift: median of its size; what no trajectory has is None."""
    survived = [one["survived"] for one in measured]
    failures = [one["time_to_failure"] for one in measured if one["time_to_failure"] is not None]
    drifts = np.array([one["drift"] for one in measured if one["drift"] is not None])
    fluctuations = [one["fluctuation"] for one in measured if one["fluctuation"] is not None]
    spikes = [one["temperature_spike"] for one in measured if one["temperature_spike"] is not None]
    return {
        "trajectories": len(measured),
        "survival": float(np.mean(survived)),
        "ended": sum(one["ended"] is not None for one in measured),
        "departures": sum(one["departure"] is not None for one in measured),
        "first_failure": min(failures, default=None),
        "not_relaxed": sum(one["relaxed"] is False for one in measured),
        "drift": over(np.abs(drifts), np.median),
        "mean_drift": over(drifts, np.mean),
        "largest_drift": over(np.abs(drifts), np.max),
        "fluctuation": over(fluctuations, np.median),
        "largest_fluctuation": over(fluctuations, np.max),
        "temperature_spike": over(spikes, np.max),
    }


def over(values: Sequence[float] | np.ndarray, how: Any) -> float | None:
    """A number over values; None if there are none."""
    return float(how(values)) if len(values) else None
