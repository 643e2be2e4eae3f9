"""Comparing variants by several objectives, all minimised; no weight is ever put on one against another."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mlip_design.selection import guards
from mlip_design.selection.comparable import check_comparable, differences, plural
from mlip_design.selection.pareto import domination, hypervolume
from mlip_design.selection.picks import make_picks
from mlip_design.selection.runs import Run, check_metric
from mlip_design.selection.selection import Reference, Selection
from mlip_design.selection.statistics import rank_correlation, share_of_variance
from mlip_design.selection.variants import DEFAULT, Variant, differing_choices, group_runs

X, Y = "val/forces_mae", "val/bsct/full_smoothness"
EPSILON = 0.05
MARGIN = 0.1
"""Where zero forces have no value, the corner of the hypervolume lies so much, as a fraction, above the worst."""


def compare(
    runs: Sequence[Run],
    x: str = X,
    y: str = Y,
    epsilon: float = EPSILON,
    allow_mixed: bool = False,
    unreadable: Mapping[Path, str] | None = None,
    known: Sequence[Variant] = (),
    also: Sequence[str] = (),
) -> Selection:
    """Compare the variants of finished runs.

    x, y: metrics, as `Run.value` names them. epsilon: how much above the lowest x the rule of that name goes, as a
    fraction. allow_mixed: compare runs of unequal budget or data, and say so. unreadable: what `load_runs` could not
    read. known: variants of an earlier comparison, whose labels are used again. also: further metrics that count in who
    beats whom. Raises ValueError for an unknown metric, for runs that must not be compared, or if none can be.
    """
    objectives = tuple(dict.fromkeys((x, y, *also)))
    compared, left_out = usable(runs, objectives, unreadable or {})
    if not allow_mixed:
        check_comparable(compared)
    variants, shared, repeated = group_runs(compared, known)
    variants.sort(key=lambda variant: (variant.mean(x), variant.mean(y)))
    held_out = held_out_metrics(variants, objectives)
    return Selection(
        x=x,
        y=y,
        also=objectives[2:],
        variants=tuple(variants),
        shared=shared,
        left_out=left_out | repeated,
        **trade_off(variants, objectives, epsilon),
        held_out=held_out,
        ranks=ranks(variants, (*objectives, *held_out)),
        importance=importance(variants, x, y),
        notes=(*differences(compared), *notes(variants, objectives)),
    )


def usable(
    runs: Sequence[Run], objectives: Sequence[str], unreadable: Mapping[Path, str]
) -> tuple[list[Run], dict[str, str]]:
    """The runs that can be compared, at least one, and why others cannot: folder or file -> why."""
    if runs:
        for name in objectives:
            check_metric(name, list(runs))
    left_out = {str(file): why for file, why in unreadable.items()}
    left_out |= {str(run.folder): why for run in runs if (why := why_not(run, objectives))}
    compared = [run for run in runs if not why_not(run, objectives)]
    if not compared:
        first = "; ".join(f"{folder}: {why}" for folder, why in list(left_out.items())[:3])
        raise ValueError(f"there is nothing to compare in {plural(len(left_out), 'run')} ({first})")
    return compared, left_out


def why_not(run: Run, objectives: Sequence[str]) -> str | None:
    """Why a run cannot be compared; None if it can."""
    if not run.finished:
        return f"{run.status}: {run.reason}"
    missing = [name for name in objectives if not math.isfinite(run.value(name))]
    return f"no finite {' or '.join(missing)}" if missing else None


def trade_off(variants: list[Variant], objectives: Sequence[str], epsilon: float) -> dict:
    """The fields of a `Selection` that come from the objectives of the variants."""
    x, y = objectives[:2]
    points = np.array([[variant.mean(name) for name in objectives] for variant in variants])
    labels = [variant.label for variant in variants]
    beats = domination(points)
    beaten_by = {label: tuple(labels[i] for i in np.flatnonzero(beats[:, j])) for j, label in enumerate(labels)}
    warnings = {variant.label: found for variant in variants if (found := guards.warnings(variant))}
    references = {name: reference(variants, name) for name in (x, y)}
    return {
        "front": tuple(label for label in labels if not beaten_by[label]),
        "beaten_by": {label: beaters for label, beaters in beaten_by.items() if beaters},
        "warnings": warnings,
        "references": references,
        "hypervolume": hypervolume(points[:, :2], np.array([references[x].value, references[y].value])),
        "picks": make_picks(points, labels, set(warnings), x, y, epsilon),
        "correlation": rank_correlation(points[:, :2]),
    }


def reference(variants: list[Variant], name: str) -> Reference:
    """The value of zero forces, if it is the same for all runs, else a margin above the worst mean."""
    zero = {f"{zero_value(run, name):.6g}" for variant in variants for run in variant.runs}
    if len(zero) == 1 and math.isfinite(value := float(zero.pop())):
        return Reference(value, "zero forces")
    worst = max(variant.mean(name) for variant in variants)
    return Reference(worst + MARGIN * abs(worst), f"{1 + MARGIN:g} times the worst")


def zero_value(run: Run, name: str) -> float:
    """What zero forces score in a metric; NaN where that is not known."""
    split, _, key = name.partition("/")
    if key == "forces_mae":
        return run.data.get(split, {}).get("mean_absolute_force", math.nan)
    return run.value(f"{split}/bsct/zero_{key.removeprefix('bsct/')}") if key.startswith("bsct/") else math.nan


def held_out_metrics(variants: list[Variant], objectives: Sequence[str]) -> tuple[str, ...]:
    """Metrics of the kinds of the objectives on other data, in the order of the record, that all variants have."""
    names = [name for name in variants[0].metrics if all(name in variant.metrics for variant in variants)]
    found = []
    for objective in objectives:
        split, _, kind = objective.partition("/")
        if split != "cost":
            found += [name for name in names if name.partition("/")[2] == kind and name not in objectives]
    return tuple(dict.fromkeys(found))


def ranks(variants: list[Variant], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Label -> metric -> place by its mean, 1 the lowest; equal values share a place."""
    means = {name: [variant.mean(name) for variant in variants] for name in names}
    return {
        variant.label: {name: 1 + sum(other < variant.mean(name) for other in means[name]) for name in names}
        for variant in variants
    }


def importance(variants: list[Variant], x: str, y: str) -> dict[str, dict[str, float | None]]:
    """Choice -> objective -> share of variance over variants, for the choices in which variants differ."""
    choices = [variant.choices for variant in variants]
    return {
        key: {
            name: share_of_variance(
                [chosen.get(key, DEFAULT) for chosen in choices], [variant.mean(name) for variant in variants]
            )
            for name in (x, y)
        }
        for key in differing_choices(choices)
    }


def notes(variants: list[Variant], objectives: Sequence[str]) -> list[str]:
    """What a reader should know beside the numbers."""
    said = []
    if any(name.startswith("test") for name in objectives):
        said.append("Test data take part in this selection: nothing is left that shows how optimistic it is.")
    probed = sum(guards.is_probed(variant) for variant in variants)
    if probed < len(variants):
        some = "No variant was" if probed == 0 else f"Only {probed} of {len(variants)} variants were"
        said.append(f"{some} probed for jumps, and the FSD does not see every jump.")
    single = sum(len(variant.runs) == 1 for variant in variants)
    if single:
        said.append(
            f"{single} of {len(variants)} variants have one seed, so that nothing says how far their numbers vary."
        )
    return said
