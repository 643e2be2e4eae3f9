"""Which of several models has the lower mean over the same systems, and how certain that is.

Systems are drawn again with replacement, the same ones for all models (paired bootstrap), so that what makes a system
hard for every model takes no part in their differences. Intervals are 95 % percentiles; for few systems they are
somewhat too narrow. What is compared is a score that is better when lower.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import binomtest

N_RESAMPLES, BATCH, SEED = 10_000, 500, 0


@dataclass(frozen=True)
class Estimate:
    """A mean over systems and its 95 % interval, in the unit of what is compared."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Estimate):
    """The mean of a model less that of the first one."""

    lower: int
    """Systems on which the model is lower than the first."""
    equal: int
    higher: int
    sign_p: float
    """Probability of so uneven a split if both were equally likely (sign test, two-sided, without equal systems)."""

    @property
    def verdict(self) -> str:
        """'lower', 'higher', or 'unclear' if the interval holds 0."""
        return "lower" if self.high < 0 else "higher" if self.low > 0 else "unclear"


@dataclass(frozen=True)
class Paired:
    """Models by one score."""

    means: list[Estimate]
    differences: list[Difference]
    """Of every model but the first."""
    certainty: list[list[float]]
    """Share of resamplings in which the model of the row is lower than that of the column; equal ones count half."""


def paired(values: np.ndarray) -> Paired:
    """Compare models by values (n_models, n_systems) of a score of each system."""
    pairs = list(combinations(range(len(values)), 2))
    contrasts = np.array([values[second] - values[first] for first, second in pairs])
    resampled = resampled_means(np.concatenate([values, contrasts]))
    of_models, of_pairs = resampled[: len(values)], resampled[len(values) :]
    certainty = np.full((len(values), len(values)), 0.5)
    for (first, second), means in zip(pairs, of_pairs, strict=True):
        share = float(np.mean(means < 0) + np.mean(means == 0) / 2)
        certainty[second, first], certainty[first, second] = share, 1 - share
    return Paired(
        [Estimate(*interval(one, means)) for one, means in zip(values, of_models, strict=True)],
        [
            Difference(*interval(contrast, means), *signs(contrast))
            for (first, _), contrast, means in zip(pairs, contrasts, of_pairs, strict=True)
            if first == 0
        ],
        certainty.tolist(),
    )


def resampled_means(values: np.ndarray) -> np.ndarray:
    """Means of values (n_rows, n_systems) over systems drawn again, the same for all rows: (n_rows, N_RESAMPLES)."""
    random, n = np.random.default_rng(SEED), values.shape[1]
    draws = (random.integers(n, size=(BATCH, n)) for _ in range(N_RESAMPLES // BATCH))
    return np.concatenate([values[:, drawn].mean(axis=2) for drawn in draws], axis=1)


def interval(values: np.ndarray, resampled: np.ndarray) -> tuple[float, float, float]:
    """Mean of values (n_systems,), and the interval of the means resampled (N_RESAMPLES,)."""
    low, high = np.percentile(resampled, (2.5, 97.5))
    return float(values.mean()), float(low), float(high)


def signs(contrast: np.ndarray) -> tuple[int, int, int, float]:
    """How many of contrast (n_systems,) are below, at and above 0, and the probability of so uneven a split."""
    lower, equal, higher = (int((np.sign(contrast) == sign).sum()) for sign in (-1, 0, 1))
    return lower, equal, higher, float(binomtest(lower, lower + higher).pvalue) if lower + higher else 1.0
