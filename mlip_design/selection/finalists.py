"""Whether a pick holds when the finalists are trained with seeds that took no part in the choice."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from mlip_design.selection.picks import make_picks
from mlip_design.selection.selection import Selection
from mlip_design.selection.variants import Variant

N_RESAMPLES = 1000
SINGLE_RULES = ("epsilon", "knee")
"""Rules that pick one variant."""


@dataclass(frozen=True)
class Difference:
    """A variant's mean less that of the pick; its 95 % interval after Welch, None where a variant has one seed."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Confirmation:
    """What became of the pick of one rule."""

    rule: str
    before: str | None
    """What it picked; None where it picks nothing."""
    after: str | None
    """What it picks by the fresh seeds alone."""
    shares: dict[str, float]
    """Finalist -> how often the rule picks it when the fresh seeds are drawn again with replacement, a fraction."""
    differences: dict[str, dict[str, Difference]]
    """Finalist -> objective -> what it has more than the pick before."""

    @property
    def holds(self) -> bool:
        """Whether the rule still picks the same."""
        return self.before == self.after

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {**asdict(self), "holds": self.holds}


def confirm(before: Selection, after: Selection, epsilon: float) -> list[Confirmation]:
    """Compare the picks of a selection with what a comparison of its finalists with fresh seeds says.

    after: compared with `known=before.variants`. epsilon: of the rule of that name, a fraction, as in both selections.
    """
    finalists = {variant.label: variant for variant in after.variants}
    shares = resampled_picks(finalists, set(after.warnings), before.x, before.y, epsilon)
    found = []
    for rule in SINGLE_RULES:
        pick = next(iter(before.picks[rule].variants), None)
        now = next(iter(after.picks[rule].variants), None)
        found.append(Confirmation(rule, pick, now, shares[rule], all_differences(finalists, pick, before)))
    return found


def resampled_picks(
    finalists: dict[str, Variant], marked: set[str], x: str, y: str, epsilon: float
) -> dict[str, dict[str, float]]:
    """Rule -> finalist -> fraction of the resamplings in which the rule picks it."""
    rng, labels = np.random.default_rng(0), list(finalists)
    seeds = [np.array([[run.value(x), run.value(y)] for run in variant.runs]) for variant in finalists.values()]
    counts = {rule: dict.fromkeys(labels, 0) for rule in SINGLE_RULES}
    for _ in range(N_RESAMPLES):
        points = np.array([rows[rng.integers(len(rows), size=len(rows))].mean(axis=0) for rows in seeds])
        picks = make_picks(points, labels, marked, x, y, epsilon)
        for rule in SINGLE_RULES:
            for label in picks[rule].variants:
                counts[rule][label] += 1
    return {rule: {label: count / N_RESAMPLES for label, count in row.items()} for rule, row in counts.items()}


def all_differences(
    finalists: dict[str, Variant], pick: str | None, selection: Selection
) -> dict[str, dict[str, Difference]]:
    """Finalist -> objective -> its difference to the pick; empty if the pick has no fresh seed."""
    if pick not in finalists:
        return {}
    return {
        label: {name: difference(finalists[label], finalists[pick], name) for name in (selection.x, selection.y)}
        for label in finalists
        if label != pick
    }


def difference(variant: Variant, pick: Variant, name: str) -> Difference:
    """Difference of the means of a metric over the seeds."""
    values, others = ([run.value(name) for run in one.runs] for one in (variant, pick))
    mean = float(np.mean(values) - np.mean(others))
    if min(len(values), len(others)) < 2:
        return Difference(mean, None, None)
    if np.ptp(values) == np.ptp(others) == 0:
        return Difference(mean, mean, mean)
    interval = stats.ttest_ind(values, others, equal_var=False).confidence_interval()
    return Difference(mean, float(interval.low), float(interval.high))
