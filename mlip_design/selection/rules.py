"""Rules that pick one point from a Pareto front; none of them weighs one objective against the other."""

import numpy as np

from mlip_design.selection.pareto import front


def epsilon_constraint(points: np.ndarray, epsilon: float) -> tuple[int, np.ndarray]:
    """The point of lowest y among those whose x is at most a fraction epsilon above the lowest x.

    points: (n_points, 2), finite. Returns its index, of equal y that of lowest x, and which points were allowed,
    (n_points,) bool.
    """
    x, y = points.T
    allowed = x <= x.min() + epsilon * abs(x.min())
    order = np.lexsort((x, y, ~allowed))
    return int(order[0]), allowed


def knee(points: np.ndarray) -> tuple[int | None, float]:
    """The point of the front that lies farthest below the chord between the front's ends.

    points: (n_points, 2), finite. Both axes are scaled to the range of the front, so that the chord runs from (0, 1) to
    (1, 0). Returns the index and the distance, dimensionless, at most 0.71; no index if no point lies below the chord.
    """
    chosen = np.flatnonzero(front(points))
    corners = points[chosen]
    span = np.ptp(corners, axis=0)
    if not span.all():
        return int(chosen[0]), 0.0  # one point, or several equal ones
    scaled = (corners - corners.min(axis=0)) / span
    distance = (1 - scaled.sum(axis=1)) / np.sqrt(2)
    best = int(distance.argmax())
    return (int(chosen[best]), float(distance[best])) if distance[best] > 1e-12 else (None, 0.0)
