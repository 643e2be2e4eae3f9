"""Panels: nine equally spaced samples of energy and forces each, how rough they are, and their halves."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mlip_design.bsct.probe.result import NoPredictionError

N_INTERVALS = 8
"""Of a panel."""
HIGHEST_ORDER = 7
"""Of differences; two of them are left, so that none vanishes by chance."""
UNEVEN = 0.618
CLOSER = 100
"""Panels around a place have steps so many times smaller than the others."""

EvaluateMany = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Coordinates (n,) -> energies (n,), eV, and forces (n, ...), eV/Å."""


class Samples(NamedTuple):
    """Samples in rows; a row of N_INTERVALS + 1 is a panel."""

    points: np.ndarray
    """(n_panels, n_samples), ascending."""
    energies: np.ndarray
    """(n_panels, n_samples, 1), eV."""
    forces: np.ndarray
    """(n_panels, n_samples, n_components), eV/Å."""

    def where(self, rows: np.ndarray) -> "Samples":
        """Some of the rows."""
        return Samples(*(values[rows] for values in self))

    @property
    def steps(self) -> np.ndarray:
        """(n_panels,), between two samples."""
        return (self.points[:, -1] - self.points[:, 0]) / (self.points.shape[1] - 1)

    @property
    def changes(self) -> np.ndarray:
        """(n_panels, n_samples - 1), of energy (eV) and forces (eV/Å) together, from each sample to the next."""
        energy, force = (np.linalg.norm(np.diff(values, axis=1), axis=2) for values in self[1:])
        return np.hypot(energy, force)


class Budget:
    """Evaluates coordinates, each once, counts, and knows whether more may be evaluated."""

    def __init__(self, evaluate_many: EvaluateMany, most: int):
        self.evaluate_many = evaluate_many
        self.most = most
        self.known: dict[float, tuple[np.ndarray, np.ndarray]] = {}

    @property
    def n_evaluations(self) -> int:
        """How many coordinates were evaluated."""
        return len(self.known)

    def allows(self, count: int) -> bool:
        """Whether `count` more may be evaluated."""
        return self.n_evaluations + count <= self.most

    def __call__(self, points: np.ndarray) -> Samples:
        """Samples at points (n_panels, n_samples). Raises NoPredictionError for one that is not finite."""
        wanted = points.ravel().tolist()
        if new := [point for point in dict.fromkeys(wanted) if point not in self.known]:
            found = self.evaluate_many(np.array(new))
            energies, forces = (np.asarray(values, dtype=np.float64).reshape(len(new), -1) for values in found)
            finite = np.isfinite(energies).all(axis=1) & np.isfinite(forces).all(axis=1)
            if not finite.all():
                raise NoPredictionError(
                    f"energy or forces are not finite at coordinate {new[np.argmin(finite)]:.10g}"
                )
            self.known.update(zip(new, zip(energies, forces, strict=True), strict=True))
        energies, forces = (np.array(values) for values in zip(*(self.known[p] for p in wanted), strict=True))
        return Samples(points, *(values.reshape(*points.shape, -1) for values in (energies, forces)))


def first_panels(start: float, stop: float, step: float, places: Sequence[float]) -> np.ndarray:
    """Points (n_panels, N_INTERVALS + 1) that cover a path with steps of at most `step`, finer around places.

    Edges divide the path unevenly, so that nothing happens just at one of them, where no panel would see a kink.
    """
    width = N_INTERVALS * step
    inner = np.arange(start + UNEVEN * width, stop, width)
    around = np.asarray(places, dtype=np.float64)[:, None] + width / CLOSER * np.array([UNEVEN - 1, UNEVEN])
    edges = np.unique(np.clip([start, *inner, *around.ravel(), stop], start, stop))
    fractions = np.arange(N_INTERVALS + 1) / N_INTERVALS
    points = edges[:-1, None] + fractions * np.diff(edges)[:, None]
    points[:, -1] = edges[1:]
    return points


def roughness(values: np.ndarray) -> np.ndarray:
    """(n_panels,) of samples (n_panels, n_samples, n_components): the least, over orders, of the largest difference.

    A jump makes it at least as large as itself, wherever in the panel it is.
    """
    smallest, difference = np.full(len(values), np.inf), values
    for _ in range(HIGHEST_ORDER):
        difference = np.diff(difference, axis=1)
        smallest = np.minimum(smallest, np.linalg.norm(difference, axis=2).max(axis=1))
    return smallest


def joined(parts: Sequence[Samples]) -> Samples:
    """The rows of all parts."""
    return Samples(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def halves(budget: Budget, panels: Samples) -> Samples:
    """The first, middle and last half of every panel, so that a kink is never at the edge of all that have it."""
    between = budget(0.5 * (panels.points[:, 1:] + panels.points[:, :-1]))
    parts = []
    for old, new in zip(panels, between, strict=True):
        whole = np.empty((len(old), 2 * N_INTERVALS + 1, *old.shape[2:]))
        whole[:, ::2], whole[:, 1::2] = old, new
        starts = (0, N_INTERVALS // 2, N_INTERVALS)
        parts.append(np.concatenate([whole[:, first : first + N_INTERVALS + 1] for first in starts]))
    _, different = np.unique(parts[0][:, [0, -1]], axis=0, return_index=True)
    return Samples(*parts).where(different)


def enlarged(budget: Budget, panels: Samples) -> Samples:
    """The one interval of every panel that changes most, as a panel."""
    rows, largest = np.arange(len(panels.points)), np.argmax(panels.changes, axis=1)
    ends = [np.stack([values[rows, largest], values[rows, largest + 1]], axis=1) for values in panels]
    fractions = np.arange(1, N_INTERVALS) / N_INTERVALS
    inner = budget(ends[0][:, :1] + fractions * np.diff(ends[0], axis=1))
    return Samples(
        *(np.concatenate([end[:, :1], new, end[:, 1:]], axis=1) for end, new in zip(ends, inner, strict=True))
    )
