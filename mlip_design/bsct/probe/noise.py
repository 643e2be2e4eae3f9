"""Rounding noise of energies and forces along a path, from difference tables.

Differences of order p of a smooth function shrink as step^p; those of noise grow, as sqrt(binomial(2p, p)). At a step
far below every feature only noise is left (the idea of ECnoise, doi:10.1137/100786125).
"""

import math
from dataclasses import dataclass

import numpy as np

ORDERS = (4, 5, 6, 7)
N_POINTS = 9
"""Samples of one table."""
N_TABLES = 6
"""Tables spread over a path; the noisiest is left out, since it may have met a jump."""
STEP = 1e-5
"""Of a table, as a fraction of the path: above the rounding of float32 positions, below every feature."""
ROUNDING = 8 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Noise:
    """Standard deviation of a quantity (eV or eV/Å; of the norm, for forces), by where it comes from."""

    absolute: float
    """In the unit of the quantity."""
    relative: float
    """Per size of the quantity, dimensionless."""
    shift: float
    """Per slope of the quantity, in the unit of the coordinate: positions are rounded too, to 1e-7 in float32."""

    def at(self, size: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Where the quantity has this size and slope, any shape."""
        return np.maximum(np.maximum(self.absolute, self.relative * size), self.shift * slope)


def noise_points(start: float, stop: float) -> np.ndarray:
    """Coordinates (N_TABLES, N_POINTS) at which noise is measured."""
    span = stop - start
    begin = start + span * (np.arange(N_TABLES) + 0.618) / N_TABLES
    steps = STEP * span * (1 + 0.618 * np.arange(N_TABLES) / N_TABLES)  # equal ones could all be whole roundings
    return begin[:, None] + steps[:, None] * np.arange(N_POINTS)


def measure_noise(points: np.ndarray, values: np.ndarray) -> Noise:
    """Noise from samples (N_TABLES, N_POINTS, n_components) at `noise_points`."""
    deviations = np.full(len(values), np.inf)
    for order in ORDERS:
        sizes = np.linalg.norm(np.diff(values, n=order, axis=1), axis=2)
        deviation = np.sqrt((sizes**2).mean(axis=1) / math.comb(2 * order, order))
        deviations = np.minimum(deviations, deviation)
    size, slope = typical(points, values)
    return Noise(
        absolute=float(np.sort(deviations)[-2]),
        relative=max(median_ratio(deviations, size), ROUNDING),
        shift=max(median_ratio(deviations, slope), np.finfo(np.float64).eps * np.abs(points).max()),
    )


def typical(points: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest norm and median slope, both (n_panels,), of samples (n_panels, n_samples, n_components).

    A jump between two of the samples does not change the median.
    """
    size = np.linalg.norm(values, axis=2).max(axis=1)
    changes = np.linalg.norm(np.diff(values, axis=1), axis=2) / np.diff(points, axis=1)
    return size, np.median(changes, axis=1)


def median_ratio(deviations: np.ndarray, sizes: np.ndarray) -> float:
    """Median of deviations per size (both (n_tables,)) where there is a size; 0 if there is none anywhere."""
    known = sizes > 0
    return float(np.median(deviations[known] / sizes[known])) if known.any() else 0.0
