"""Correlation: which cheap number predicts how well a potential conserves energy in NVE?

Over variants, each by the mean of its seeds: Spearman's rank correlation of a predictor with the drift and with the
fluctuation of the total energy and with the share of trajectories in which no bond comes apart; the partial one given
the force MAE (what a predictor knows beyond accuracy). 95 % intervals from variants drawn again. How well a predictor
tells variants apart that conserve energy and that do not is the share of pairs, one of each, in which the latter has
the larger value; 50 % is guessing. The number of parameters stands for a predictor that should know nothing. A model
whose forces are hardly better than none has learnt next to nothing: it moves nothing, so it conserves energy whatever
it is. Such variants stand in the list, but not in the correlations, unless said.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu

from mlip_design.selection.statistics import N_RESAMPLES, rho
from studies.figures import panels
from studies.records import QUANTITIES, Records, over_seeds, table, zero_forces

TARGETS = ("drift", "fluctuation", "survival")
GIVEN = "test_new/forces_mae"
UNSTABLE = 0.1
"""meV/atom/ps of drift from which on energy does not count as conserved."""
LEARNT = 0.9
"""Force MAE, as a fraction of that of zero forces, above which a model has learnt next to nothing."""
RESOLVED = 0.1
"""Drift a picosecond, as a fraction of the fluctuation, below which it is not resolved (docs/dynamics.md)."""
PREDICTORS = {
    "full_smoothness": "scans",
    "windowed_smoothness": "scans",
    "force_jump": "probe",
    "energy_jump": "probe",
    "jacobian_asymmetry": "derivatives",
    "hessian_norm": "derivatives",
    "test_new/forces_mae": None,
    "test_new/energy_mae_per_atom": None,
    "parameters": None,
}
"""Predictor -> the instrument that it takes; None where training leaves it."""
EXPLAINED = 1e-9
"""Share of variance of ranks below which all is explained, but for rounding."""


def analyse(records: Records) -> dict[str, Any]:
    """Facts, ready for JSON."""
    names = (*PREDICTORS, *TARGETS)
    values = {variant: {name: over_seeds(runs, name).mean for name in names} for variant, runs in records.items()}
    complete = {v: row for v, row in values.items() if np.isfinite([row[name] for name in names]).all()}
    limit = LEARNT * zero_forces(records)[GIVEN]
    trivial = [variant for variant, row in complete.items() if row[GIVEN] > limit]
    column = columns({variant: row for variant, row in complete.items() if variant not in trivial})
    is_unstable = column["drift"] > UNSTABLE
    stable = {name: values[~is_unstable] for name, values in column.items()}
    seconds = {
        instrument: float(np.median([one.seconds[instrument] for runs in records.values() for one in runs]))
        for instrument in ("scans", "probe", "derivatives", "dynamics")
    }
    return {
        "variants": complete,
        "left_out": sorted(set(values) - set(complete)),
        "trivial": trivial,
        "seconds": seconds,
        "correlations": {target: correlated(column, target) for target in TARGETS},
        "of_stable": correlated(stable, "drift"),
        "of_all": correlated(columns(complete), "drift"),
        "unresolved": int((stable["drift"] < RESOLVED * stable["fluctuation"]).sum()),
        "stable": int((~is_unstable).sum()),
        "unstable": int(is_unstable.sum()),
        "told_apart": {name: told_apart(column[name], is_unstable) for name in PREDICTORS},
    }


def columns(variants: dict[str, dict[str, float]]) -> dict[str, np.ndarray]:
    """Name of a number -> its values, (n_variants,)."""
    return {name: np.array([row[name] for row in variants.values()]) for name in (*PREDICTORS, *TARGETS)}


def correlated(column: dict[str, np.ndarray], target: str) -> dict[str, dict[str, Any]]:
    """Predictor -> its correlation with a target, and the partial one."""
    return {
        name: {
            "plain": with_interval(np.stack([column[name], column[target]], axis=-1)),
            "partial": None
            if name == GIVEN
            else with_interval(np.stack([column[name], column[target], column[GIVEN]], axis=-1)),
        }
        for name in PREDICTORS
    }


def told_apart(values: np.ndarray, is_unstable: np.ndarray) -> float | None:
    """Share of pairs of an unstable and a stable variant in which the first has the larger value; ties count half.

    values, is_unstable: (n_variants,). None where all are stable, or none is.
    """
    unstable, stable = values[is_unstable], values[~is_unstable]
    pairs = len(unstable) * len(stable)
    return float(mannwhitneyu(unstable, stable).statistic / pairs) if pairs else None


def with_interval(points: np.ndarray) -> dict[str, float] | None:
    """Correlation of the first two columns of (n_points, 2), or partial given the third of (n_points, 3).

    None where a column is constant, or where the third leaves nothing of another to explain.
    """
    if (
        len(points) < 4
        or not np.ptp(points, axis=0).all()
        or not np.isfinite(whole := correlations(points[None])[0])
    ):
        return None
    n = len(points)
    drawn = points[np.random.default_rng(0).integers(n, size=(N_RESAMPLES, n))]
    drawn = drawn[np.ptp(drawn, axis=1).all(axis=-1)]
    found = correlations(drawn)
    low, high = np.nanpercentile(found, (2.5, 97.5))
    return {"rho": float(whole), "low": float(low), "high": float(high)}


def correlations(samples: np.ndarray) -> np.ndarray:
    """Spearman's rho of (n_samples, n_points, 2), or its partial form for a third column: (n_samples,)."""
    xy = rho(samples[..., [0, 1]])
    if samples.shape[-1] == 2:
        return xy
    xz, yz = rho(samples[..., [0, 2]]), rho(samples[..., [1, 2]])
    with np.errstate(invalid="ignore", divide="ignore"):
        left = (1 - xz**2) * (1 - yz**2)
        return np.where(left > EXPLAINED, (xy - xz * yz) / np.sqrt(left), np.nan)


def draw(facts: dict[str, Any], path: Path) -> None:
    """The drift over every predictor."""
    figure, drawn = panels(len(PREDICTORS))
    for axes, name in zip(drawn, PREDICTORS, strict=True):
        shown = [row for variant, row in facts["variants"].items() if variant not in facts["trivial"]]
        x = np.array([row[name] for row in shown]) * QUANTITIES[name].factor
        y = np.array([row["drift"] for row in shown])
        axes.plot(x, y, "o", alpha=0.7)
        axes.set(xlabel=QUANTITIES[name].heading, ylabel=QUANTITIES["drift"].heading, yscale="log")
        if x.min() > 0 and x.max() > 100 * x.min():
            axes.set_xscale("log")
        found = facts["correlations"]["drift"][name]["plain"]
        axes.set_title("constant" if found is None else f"ρ = {found['rho']:.2f}", fontsize=9)
    figure.savefig(path, dpi=110)


def text(facts: dict[str, Any]) -> str:
    """Tables and the sentence."""
    rows = []
    for name, instrument in PREDICTORS.items():
        cost = facts["seconds"][instrument] / facts["seconds"]["dynamics"] if instrument else 0.0
        cells = [words(facts[among][name]["plain"]) for among in ("of_stable", "of_all")]
        cells[:0] = [
            words(facts["correlations"][target][name][kind]) for target in TARGETS for kind in ("plain", "partial")
        ]
        share = facts["told_apart"][name]
        cells.append("–" if share is None else f"{100 * share:.0f}")
        rows.append([QUANTITIES[name].heading, *cells, f"{100 * cost:.0f} %" if instrument else "0"])
    headings = ["predictor", *(part for target in TARGETS for part in (target, "given force MAE"))]
    headings += ["drift, of conserving ones", "drift, of all that were trained"]
    headings += ["conserving told from not, %", "cost of that of MD"]
    shown = [*PREDICTORS, *TARGETS]
    variants = [
        [name, *(QUANTITIES[key].text(row[key]) for key in shown)]
        for name, row in sorted(facts["variants"].items(), key=lambda pair: pair[1]["drift"])
    ]
    left = f"\n\nLeft out, without every number: {', '.join(facts['left_out'])}." if facts["left_out"] else ""
    return "\n\n".join(
        [
            f"{about(facts)}{left}",
            table(headings, rows),
            *(sentence(facts, target) for target in TARGETS),
            "All variants, lowest drift first:",
            table(["variant", *(QUANTITIES[key].heading for key in shown)], variants),
        ]
    )


def about(facts: dict[str, Any]) -> str:
    """How many variants there are, and of what kinds."""
    return (
        f"{len(facts['variants'])} variants. Learnt next to nothing (force MAE above "
        f"{LEARNT} of that of zero forces): {', '.join(facts['trivial']) or 'none'}. Of the "
        f"others {facts['unstable']} drift by more than {UNSTABLE} meV/atom/ps and {facts['stable']} conserve energy, "
        f"{facts['unresolved']} of these with a drift below a tenth of the fluctuation: that is where a line through "
        "oscillations happens to be cut off, and their order means little."
    )


def words(found: dict[str, float] | None) -> str:
    """A correlation with its interval."""
    return "–" if found is None else f"{found['rho']:+.2f} ({found['low']:+.2f} to {found['high']:+.2f})"


def sentence(facts: dict[str, Any], target: str) -> str:
    """Which predictors are clear of 0, and which is strongest."""
    found = {name: row["plain"] for name, row in facts["correlations"][target].items() if row["plain"]}
    clear = [name for name, one in ordered(found) if one["low"] * one["high"] > 0]
    what = QUANTITIES[target].heading.partition(",")[0]
    if not clear:
        return f"No predictor's correlation with the {what} is clear of 0."
    best = clear[0]
    rest = ", ".join(QUANTITIES[name].heading.partition(",")[0] for name in clear[1:])
    first = f"Of the {what}, {QUANTITIES[best].heading.partition(',')[0]} says most, ρ = {words(found[best])}"
    return f"{first}; clear of 0 as well: {rest}." if rest else f"{first}; no other is clear of 0."


def ordered(found: dict[str, dict[str, float]]) -> Sequence[tuple[str, dict[str, float]]]:
    """By strength."""
    return sorted(found.items(), key=lambda pair: -abs(pair[1]["rho"]))
