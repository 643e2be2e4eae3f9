"""Jumps and kinks of a potential energy surface along a path, found by bisection: no reference is needed.

A path is covered by panels of nine samples. Their roughness, the least over p <= 7 of the largest difference of order
p, shrinks for smooth functions with the step as fast as the best order; a jump of height J keeps it at J or above, a
jump K of the slope at about K step / 2 or above. Panels rougher than

    max(min(FORCE_FLOOR, SLOPE_FLOOR step), 10 noise)

are halved, the roughest first, until the step reaches rounding, or a kink would no longer show above the noise and
there is no jump. What is left is one gap a discontinuity; its height is the difference of the limits from both sides.

Two jumps that cancel each other between two samples of the first grid are stepped over: hence its fine step, and
finer panels around `places` where something is known to happen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlip_design.bsct.probe.gaps import gaps
from mlip_design.bsct.probe.limits import LIMIT_SAMPLES, Gap, Limit, limits
from mlip_design.bsct.probe.noise import Noise, measure_noise, noise_points, typical
from mlip_design.bsct.probe.panels import (
    N_INTERVALS,
    Budget,
    EvaluateMany,
    Samples,
    enlarged,
    first_panels,
    halves,
    joined,
    roughness,
)
from mlip_design.bsct.probe.result import Jump, Kink, Probe

ENERGY_FLOOR, FORCE_FLOOR, SLOPE_FLOOR = 1e-6, 1e-6, 1e-4
"""eV, eV/Å, eV/Å per unit of the coordinate: what counts as a jump or kink where noise does not hide it."""
HIDDEN, CERTAIN = 10, 50
"""In units of noise: below the one nothing is seen, above the other something is certain."""
FIRST_STEPS = 256
MAX_EVALUATIONS = 50_000
AT_ONCE = 4
"""Panels divided together."""
LONE = 1000
"""Times all others in its panel: a change that is looked at alone."""
SURE = 3
"""A kink exceeds its uncertainty so many times."""
ROUNDING = 2.0**-46
"""Smallest step, as a fraction of the largest coordinate."""
KINK_STEP = 1e-5
"""As a fraction of the path: a kink must show above the noise over such a step."""


@dataclass(frozen=True)
class Criteria:
    """What is rough and what is settled, at the noise of one path."""

    energy_noise: Noise
    force_noise: Noise
    slope_floor: float
    """eV/Å per unit of the coordinate."""
    smallest_step: float
    small_step: float
    """From here on a jump hides others of a thousandth of its height."""

    def judge(self, panels: Samples) -> tuple[np.ndarray, np.ndarray]:
        """Which panels are rough, and which are settled by now, both (n_panels,) bool."""
        energy, force = roughness(panels.energies), roughness(panels.forces)
        energy_noise = self.energy_noise.at(*typical(panels.points, panels.energies))
        force_noise = self.force_noise.at(*typical(panels.points, panels.forces))
        tolerance = np.minimum(FORCE_FLOOR, self.slope_floor * panels.steps)
        rough = force > np.maximum(tolerance, HIDDEN * force_noise)
        rough |= energy > np.maximum(ENERGY_FLOOR, HIDDEN * energy_noise)
        jumps = force > np.maximum(FORCE_FLOOR, CERTAIN * force_noise)
        jumps |= energy > np.maximum(ENERGY_FLOOR, CERTAIN * energy_noise)
        kink_shows = panels.steps > np.minimum(
            HIDDEN**2 * force_noise / self.slope_floor, HIDDEN * self.small_step
        )
        return rough, (panels.steps <= self.smallest_step) | ~(jumps | kink_shows)

    def is_lone(self, panels: Samples) -> np.ndarray:
        """Whether one change of a panel is so much larger than all others that these need no closer look."""
        *_, second, largest = np.sort(panels.changes, axis=1).T
        return (panels.steps <= self.small_step) & (largest > LONE * second)


def probe_path(
    evaluate: Callable[[float], tuple[float, np.ndarray]],
    start: float,
    stop: float,
    *,
    places: Sequence[float] = (),
    first_step: float | None = None,
    max_evaluations: int = MAX_EVALUATIONS,
) -> Probe:
    """Jumps and kinks between two coordinates of a path.

    evaluate: coordinate -> energy (eV) and forces (any shape, eV/Å). places: coordinates to look at closely.
    first_step: of the first grid, 1/256 of the path unless given. max_evaluations: about where the search ends,
    `exhausted`. Raises NoPredictionError for energy or forces that are not finite, ValueError for an empty path or too
    few evaluations for the first grid.
    """

    def evaluate_many(coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pairs = [evaluate(float(coordinate)) for coordinate in coordinates]
        return np.array([energy for energy, _ in pairs]), np.array([forces for _, forces in pairs])

    return probe_many(
        evaluate_many, start, stop, places=places, first_step=first_step, max_evaluations=max_evaluations
    )


def probe_many(
    evaluate_many: EvaluateMany,
    start: float,
    stop: float,
    *,
    places: Sequence[float] = (),
    first_step: float | None = None,
    max_evaluations: int = MAX_EVALUATIONS,
) -> Probe:
    """As `probe_path`, with an evaluation of many coordinates at once."""
    span = stop - start
    if not (np.isfinite(span) and span > 0):
        raise ValueError(f"a path must lead upwards from start to stop, not from {start} to {stop}")
    grid = first_panels(start, stop, span / FIRST_STEPS if first_step is None else first_step, places)
    still = noise_points(start, stop)
    budget = Budget(evaluate_many, max_evaluations)
    if not budget.allows(grid.size + still.size):
        needed = grid.size + still.size
        raise ValueError(f"max_evaluations = {max_evaluations}: the first grid alone takes {needed}")
    tables = budget(still)
    energy_noise, force_noise = (measure_noise(still, values) for values in (tables.energies, tables.forces))
    criteria = Criteria(
        energy_noise,
        force_noise,
        max(SLOPE_FLOOR, HIDDEN * force_noise.absolute / (KINK_STEP * span)),
        max(ROUNDING * max(abs(start), abs(stop)), min(CERTAIN * force_noise.shift, KINK_STEP * span)),
        KINK_STEP * span,
    )
    suspects, exhausted = bisect(budget, budget(grid), criteria)
    found = [measure(budget, gap, criteria, span) for gap in gaps(suspects, criteria.smallest_step, start, stop)]
    return Probe(
        jumps=tuple(one for one in found if isinstance(one, Jump)),
        kinks=tuple(one for one in found if isinstance(one, Kink)),
        n_evaluations=budget.n_evaluations,
        exhausted=exhausted,
        energy_floor=max(ENERGY_FLOOR, CERTAIN * energy_noise.absolute),
        force_floor=max(FORCE_FLOOR, CERTAIN * force_noise.absolute),
        slope_floor=criteria.slope_floor,
    )


def bisect(budget: Budget, panels: Samples, criteria: Criteria) -> tuple[list[Samples], bool]:
    """Panels that stay rough, and whether evaluations ran out before every panel was settled.

    The AT_ONCE roughest go first: where it is smooth halves are less rough, at a jump they are not, so that the largest
    jumps are found before the evaluations run out; what it takes to measure them is kept back.
    """
    suspects, waiting = examined(panels, criteria)
    while waiting:
        waiting.sort(key=lambda one: one.roughness)
        chosen, waiting = waiting[-AT_ONCE:], waiting[:-AT_ONCE]
        if not budget.allows(len(chosen) * N_INTERVALS + (len(suspects) + len(chosen)) * LIMIT_SAMPLES):
            return suspects, True
        for divide in (halves, enlarged):
            if alike := [one.panel for one in chosen if one.divide is divide]:
                found, more = examined(divide(budget, joined(alike)), criteria)
                suspects, waiting = suspects + found, waiting + more
    return suspects, False


class Waiting(NamedTuple):
    """A panel that is to be divided."""

    roughness: float
    """Of energy (eV) and forces (eV/Å) together."""
    divide: Callable[[Budget, Samples], Samples]
    """`halves` or `enlarged`."""
    panel: Samples
    """One row."""


def examined(panels: Samples, criteria: Criteria) -> tuple[list[Samples], list[Waiting]]:
    """Suspects, one by one, and what is to be divided, and how."""
    rough, settled = criteria.judge(panels)
    suspects = [panels.where([row]) for row in np.flatnonzero(rough & settled)]
    sizes, lone = np.hypot(roughness(panels.energies), roughness(panels.forces)), criteria.is_lone(panels)
    waiting = [
        Waiting(sizes[row], enlarged if lone[row] else halves, panels.where([row]))
        for row in np.flatnonzero(rough & ~settled)
    ]
    return suspects, waiting


def measure(budget: Budget, gap: Gap, criteria: Criteria, span: float) -> Jump | Kink | None:
    """What there is at a gap: a jump, else a kink, else nothing."""

    def sample(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = budget(points[None])
        return found.energies[0], found.forces[0]

    noises = (criteria.energy_noise, criteria.force_noise)
    energy, force = limits(sample, gap, span, [noise.absolute for noise in noises])
    energy_jump, force_jump = (float(np.linalg.norm(right.value - left.value)) for left, right in (energy, force))
    sure = energy_jump > least(energy, ENERGY_FLOOR, noises[0]) or force_jump > least(
        force, FORCE_FLOOR, noises[1]
    )
    if sure and gap.right - gap.left <= N_INTERVALS * criteria.smallest_step:
        return Jump(gap.place, energy_jump, force_jump)
    left, right = force
    slope_jump, error = float(np.linalg.norm(right.slope - left.slope)), left.slope_error + right.slope_error
    return Kink(gap.place, slope_jump) if slope_jump > max(criteria.slope_floor, SURE * error) else None


def least(sides: tuple[Limit, Limit], floor: float, noise: Noise) -> float:
    """Height (eV or eV/Å) from which on two limits differ for sure."""
    size, slope = (max(np.linalg.norm(getattr(side, name)) for side in sides) for name in ("value", "slope"))
    error = sum(side.value_error for side in sides)
    return max(floor, CERTAIN * float(noise.at(size, slope)), SURE * error)
