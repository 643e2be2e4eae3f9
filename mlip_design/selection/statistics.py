"""What can be said from few numbers: intervals, rank correlation, the share of variance of a choice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

N_RESAMPLES = 2000
N_GROUPS = 4
"""Groups into which the values of a number are put."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds; its 95 % interval after Student, None for one seed."""

    mean: float
    low: float | None
    high: float | None
    n: int
    """Number of seeds."""


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of two objectives over variants, with a 95 % bootstrap interval."""

    rho: float
    low: float
    high: float
    n: int
    """Number of variants."""


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and 95 % interval of values of several seeds."""
    mean, n = float(np.mean(values)), len(values)
    if n == 1:
        return Estimate(mean, None, None, 1)
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)


def rank_correlation(points: np.ndarray) -> Correlation | None:
    """Spearman's rho of points (n_points, 2); None for fewer than four points, or where an objective is constant."""
    n = len(points)
    if n < 4 or not np.ptp(points, axis=0).all():
        return None
    resampled = points[np.random.default_rng(0).integers(n, size=(N_RESAMPLES, n))]
    varied = resampled[np.ptp(resampled, axis=1).all(axis=-1)]
    low, high = np.percentile(rho(varied), (2.5, 97.5))
    return Correlation(float(rho(points[None])[0]), float(low), float(high), n)


def rho(samples: np.ndarray) -> np.ndarray:
    """Spearman's rho of samples (n_samples, n_points, 2): (n_samples,)."""
    ranks = stats.rankdata(samples, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    x, y = ranks[..., 0], ranks[..., 1]
    return (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))


def share_of_variance(choices: Sequence[str], values: Sequence[float]) -> float | None:
    """How much of the variance of an objective goes with one choice, the other choices ignored: epsilon squared.

    (S_between - (k - 1) s) / S_total, with sums of squares S, k groups, and s the variance within groups, so that a
    choice without influence has 0 on average; less is given as 0. Numbers make at most four groups of like size. None
    where it cannot be known: one group, less than two variants a group on average, or a constant objective.

    choices: value of the choice in every variant. values: the objective of every variant.
    """
    values = np.asarray(values)
    _, group = np.unique(grouped(choices), return_inverse=True)
    counts, n = np.bincount(group), len(values)
    k = len(counts)
    total = ((values - values.mean()) ** 2).sum()
    if k < 2 or n < 2 * k or np.ptp(values) == 0:
        return None
    means = np.bincount(group, values) / counts
    within = ((values - means[group]) ** 2).sum()
    return float(max(0.0, (total - within - (k - 1) * within / (n - k)) / total))


def grouped(choices: Sequence[str]) -> list[str]:
    """The group of every choice: the choice itself, or for more than four different numbers their quarter."""
    numbers = {choice: value for choice in choices if not np.isnan(value := number(choice))}
    if len(numbers) <= N_GROUPS:
        return list(choices)
    values = [numbers[choice] for choice in choices if choice in numbers]
    edges = np.quantile(values, np.arange(1, N_GROUPS) / N_GROUPS)
    return [
        f"quarter {np.searchsorted(edges, numbers[choice])}" if choice in numbers else choice for choice in choices
    ]


def number(text: str) -> float:
    """The number that a text means; NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return np.nan
