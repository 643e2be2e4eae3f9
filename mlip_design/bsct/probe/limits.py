"""One-sided limits of a function and its slope at the edge of a gap, by polynomials fitted on that side alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

DEGREE = 4
OFFSETS = np.arange(7) / 6
"""Samples of a fit, in units of its radius, from the edge of the gap."""
RADII = 10.0 ** -np.arange(2, 5)
"""Of the fits, as fractions of the path: what a large one loses to curvature, a small one loses to noise."""
LIMIT_SAMPLES = 2 * len(OFFSETS) * len(RADII)
"""Evaluations at one gap, about."""


class Gap(NamedTuple):
    """Where something happens: an interval, and how far it is to the next one on either side."""

    left: float
    right: float
    room_left: float
    room_right: float

    @property
    def place(self) -> float:
        """Its middle."""
        return 0.5 * (self.left + self.right)

    @property
    def doubt(self) -> float:
        """How far the place may be off."""
        return 0.5 * (self.right - self.left)


@dataclass(frozen=True)
class Limit:
    """Value and slope of one quantity on one side, at the middle of the gap, and how far both may be off."""

    value: np.ndarray
    """(n_components,), eV or eV/Å."""
    slope: np.ndarray
    """(n_components,), per unit of the coordinate."""
    value_error: float
    """Of the norm."""
    slope_error: float
    """Of the norm; infinite where the path leaves no room for a slope."""


def limits(
    sample: Callable[[np.ndarray], Sequence[np.ndarray]], gap: Gap, span: float, noise: Sequence[float]
) -> list[tuple[Limit, Limit]]:
    """Limits (left, right) of every quantity that `sample` gives.

    sample: coordinates (n,) -> arrays (n, n_components), one a quantity. span: length of the path. noise: of each.
    """
    sides = []
    for edge, room, sign in ((gap.left, gap.room_left, -1), (gap.right, gap.room_right, 1)):
        radii = np.unique(np.minimum(RADII * span, room / 2))
        offsets = sign * radii[:, None] * OFFSETS
        tables = [values.reshape(*offsets.shape, -1) for values in sample((edge + offsets).ravel())]
        away = edge - gap.place + offsets
        fits = [one_sided(away, table, sigma, gap.doubt) for table, sigma in zip(tables, noise, strict=True)]
        sides.append(fits)
    return list(zip(*sides, strict=True))


def one_sided(away: np.ndarray, tables: np.ndarray, noise: float, doubt: float) -> Limit:
    """The most certain limit at 0 of samples (n_radii, n_samples, n_components), (n_radii, n_samples) away from it.

    A fit is as uncertain as noise and the doubt about the place make it, and as one of a lower degree differs from it.
    """
    values, slopes = [], []
    for distances, table in zip(away, tables, strict=True):
        if distances[0] == distances[-1]:
            return Limit(table[0], np.zeros_like(table[0]), noise, np.inf)
        radius = np.abs(distances).max()
        powers = np.vander(distances / radius, DEGREE + 1, increasing=True)
        rows, lower = np.linalg.pinv(powers), np.linalg.pinv(powers[:, :-1])
        coefficients, rougher = rows @ table, lower @ table
        errors = np.linalg.norm(coefficients[:-1] - rougher, axis=1) + noise * np.linalg.norm(rows[:-1], axis=1)
        sizes = np.linalg.norm(coefficients, axis=1) * doubt / radius
        values.append((errors[0] + sizes[1], coefficients[0]))
        slopes.append(((errors[1] + 2 * sizes[2]) / radius, coefficients[1] / radius))
    (value_error, value), (slope_error, slope) = (
        min(found, key=lambda pair: pair[0]) for found in (values, slopes)
    )
    return Limit(value, slope, float(value_error), float(slope_error))
