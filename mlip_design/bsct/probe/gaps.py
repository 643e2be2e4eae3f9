"""Where the limits from both sides are to be compared: what bisection has left."""

import numpy as np

from mlip_design.bsct.probe.limits import Gap
from mlip_design.bsct.probe.panels import Samples


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
