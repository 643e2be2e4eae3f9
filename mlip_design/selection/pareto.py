"""Points with several objectives, all minimised: who beats whom, the Pareto front, the hypervolume."""

import numpy as np


def domination(points: np.ndarray) -> np.ndarray:
    """Who beats whom: [i, j] says that i is nowhere worse than j and somewhere better.

    points: (n_points, n_objectives), finite. Returns (n_points, n_points) bool; equal points do not beat each other.
    """
    nowhere_worse = (points[:, None] <= points[None]).all(axis=-1)
    return nowhere_worse & ~nowhere_worse.T


def front(points: np.ndarray) -> np.ndarray:
    """Which points (n_points, n_objectives) no other one beats: (n_points,) bool."""
    return ~domination(points).any(axis=0)


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """Area between the front of points (n_points, 2) and a reference (2,), in the product of the objectives' units.

    A point that is not better than the reference in both objectives adds nothing.
    """
    inside = points[(points < reference).all(axis=1)]
    corners = inside[front(inside)]
    corners = corners[np.argsort(corners[:, 0])]
    widths = np.diff(np.append(corners[:, 0], reference[0]))
    return float(widths @ (reference[1] - corners[:, 1]))
