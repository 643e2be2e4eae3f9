"""Smooth in dynamics? The same trajectories at several time steps; no reference is needed.

Velocity Verlet on a smooth potential errs in the total energy by an amount that falls as the square of the time step
(npj Comput. Mater. 8, 189 (2022), doi:10.1038/s41524-022-00872-x, figure 5, has it for potentials). A jump of the
energy, or work of the forces around a loop, is the same at every step: the curve is flat. So, of every trajectory,

    deviation(dt) = root mean square of E(t) - mean E, per atom,     slope = d ln deviation / d ln dt

and the slope is 2 for a smooth potential, 0 for one that jumps. What is smaller than the deviation at the smallest
step is not seen.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import t as student

from mlip_design.dynamics.protocol import Protocol
from mlip_design.dynamics.trajectory import Trajectory

FACTORS = (2.0, 1.0, 0.5, 0.25)
"""Of the time step asked for."""
FLATTEST = 1.5
"""Slope below which a trajectory is not called smooth."""
ROUNDING = 1e-7
"""meV/atom; a trajectory that deviates by less at the longest step, such as one of a free atom, tells nothing."""
CONFIDENCE = 0.95


def protocols(protocol: Protocol) -> list[Protocol]:
    """The protocol at every time step, longest first: one duration, energies at the same times."""
    longest = FACTORS[0] * protocol.time_step
    count = max(round(protocol.steps / FACTORS[0]), 2)
    made = []
    for factor in FACTORS:
        ratio = round(FACTORS[0] / factor)
        steps = count * ratio
        made.append(
            replace(
                protocol,
                ensemble="nve",
                time_step=longest / ratio,
                steps=steps,
                record_interval=ratio * max(count // 2000, 1),
                frame_interval=count * longest,
            )
        )
    return made


def judge(time_steps: Sequence[float], found: Sequence[Sequence[Trajectory]]) -> dict[str, Any]:
    """Verdict of the trajectories (one list a time step, fs, longest first): slopes, their mean and its interval.

    Only those that came to their end at every step, and whose energy changes at all, have a slope; smooth is None where
    there are none, though none ended at the smallest step.
    """
    complete = [all(one.end is None for one in same) for same in zip(*found, strict=True)]
    usable = [whole and deviation(one) > ROUNDING for whole, one in zip(complete, found[0], strict=True)]
    kept = [[one for one, counts in zip(same, usable, strict=True) if counts] for same in found]
    table = np.array([[deviation(one) for one in same] for same in kept]).reshape(len(time_steps), -1)
    slopes = fitted(np.log(time_steps), np.log(np.maximum(table, 1e-300)))
    n_broken = sum(one.end is not None for one in found[-1])
    interval = interval_of(slopes)
    is_smooth = bool(len(slopes)) and bool((slopes > FLATTEST).all()) and not n_broken
    return {
        "time_steps": list(time_steps),
        "smooth": None if not (len(slopes) or n_broken) else is_smooth,
        "slope": float(slopes.mean()) if len(slopes) else None,
        "slope_interval": interval,
        "slopes": slopes.tolist(),
        "deviations": table.T.tolist(),
        "median_deviations": np.median(table, axis=1).tolist() if len(slopes) else None,
        "flat": int((slopes <= FLATTEST).sum()),
        "usable": sum(usable),
        "complete": sum(complete),
        "trajectories": len(complete),
        "ended_at_smallest": n_broken,
    }


def deviation(trajectory: Trajectory) -> float:
    """Root mean square deviation of the total energy from its mean, meV/atom."""
    return float(1000 * np.nanstd(trajectory.energies) / len(trajectory.numbers))


def fitted(x: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """(n_curves,) slopes by least squares of curves (n_points, n_curves) over x (n_points,)."""
    centred = x - x.mean()
    return centred @ curves / (centred @ centred)


def interval_of(slopes: np.ndarray) -> list[float] | None:
    """95 % interval of the mean (Student's t); None for fewer than two."""
    if len(slopes) < 2:
        return None
    half = student.ppf((1 + CONFIDENCE) / 2, len(slopes) - 1) * slopes.std(ddof=1) / np.sqrt(len(slopes))
    return [float(slopes.mean() - half), float(slopes.mean() + half)]
