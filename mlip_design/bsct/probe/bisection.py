"""Jumps and kinks of a potential energy surface along a path, found by bisection: no reference is needed.

A path is covered by panels of nine samples. Their roughness, the least over p <= 7 of the largest difference of order
p, shrinks for smooth functions with the step as fast as the best order; a jump of height J keeps it at J or above, a
jump K of the slope at about K step / 2 or above. Panels rougher than

    max(min(FORCE_FLOOR, SLOPE_FLOOR step), 10 noise)

are halved, all of one level in one evaluation, until the step reaches rounding, or a kink would no longer show above
the noise and there is no jump. What is left is one gap a discontinuity; its height is the difference of the limits
from both sides.

Two jumps that cancel each other between two samples of the first grid are stepped over: hence its fine step, and
finer panels around `places` where something is known to happen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

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
    roughness,
)
from mlip_design.bsct.probe.result import Jump, Kink, Probe

ENERGY_FLOOR, FORCE_FLOOR, SLOPE_FLOOR = 1e-6, 1e-6, 1e-4
"""eV, eV/Å, eV/Å per unit of the coordinate: what counts as a jump or kink where noise does not hide it."""
HIDDEN, CERTAIN = 10, 50
"""In units of noise: below the one nothing is seen, above the other something is certain."""
FIRST_STEPS = 256
MAX_EVALUATIONS = 50_000
AT_ONCE = 8
"""Panels halved together."""
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

    Depth first, AT_ONCE panels of a level together, the roughest first, so that the largest jumps are found before the
    evaluations run out; what it takes to measure them is kept back.
    """
    suspects, waiting = examined(panels, criteria)
    while waiting:
        divide, panels = waiting.pop()
        count = len(panels.points)
        if not budget.allows(count * N_INTERVALS + (len(suspects) + count) * LIMIT_SAMPLES):
            return suspects, True
        for found, more in zip((suspects, waiting), examined(divide(budget, panels), criteria), strict=True):
            found += more
    return suspects, False


Divide = Callable[[Budget, Samples], Samples]
"""`halves` or `enlarged`."""


def examined(panels: Samples, criteria: Criteria) -> tuple[list[Samples], list[tuple[Divide, Samples]]]:
    """Suspects, one by one, and what is to be divided, and how, AT_ONCE panels together, the roughest last."""
    rough, settled = criteria.judge(panels)
    order = np.argsort(np.hypot(roughness(panels.energies), roughness(panels.forces)))
    suspects = [panels.where([row]) for row in np.flatnonzero(rough & settled)]
    waiting = []
    lone = criteria.is_lone(panels)
    for divide, chosen in ((halves, ~lone), (enlarged, lone)):
        rows = order[(rough & ~settled & chosen)[order]]
        starts = range(len(rows) % AT_ONCE - AT_ONCE, len(rows), AT_ONCE)
        waiting += [(divide, panels.where(rows[max(i, 0) : i + AT_ONCE])) for i in starts if i + AT_ONCE > 0]
    return suspects, waiting


def gaps(suspects: list[Samples], smallest_step: float, start: float, stop: float) -> list[Gap]:
    """Where the limits from both sides are to be compared, in order; suspects that touch are one.

    A panel of the smallest steps is narrowed to its largest change; around others, which hold no jump, limits are taken
    a panel away.
    """
    narrow, wide = [], []
    for panel in suspects:
        points = panel.points[0]
        if panel.steps[0] <= smallest_step:
            largest = int(np.argmax(panel.changes[0]))
            narrow.append((points[largest], points[largest + 1]))
        else:
            wide.append((2 * points[0] - points[-1], 2 * points[-1] - points[0]))
    jumps = merged(narrow)
    kinks = [(a, b) for a, b in merged(wide) if not any(left < b and right > a for left, right in jumps)]
    found = sorted([*jumps, *kinks])
    before = [start, *(right for _, right in found)]
    after = [*(left for left, _ in found[1:]), stop]
    return [
        Gap(left, right, max(left - previous, 0.0), max(following - right, 0.0))
        for (left, right), previous, following in zip(found, before, after, strict=False)
    ]


def merged(intervals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Intervals in order, those that lie closer than they are wide joined."""
    found: list[tuple[float, float]] = []
    for left, right in sorted(intervals):
        if found and left - found[-1][1] <= max(right - left, found[-1][1] - found[-1][0]):
            left, right = found[-1][0], max(right, found.pop()[1])
        found.append((left, right))
    return [(float(left), float(right)) for left, right in found]


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
