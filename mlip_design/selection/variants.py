"""Variants: runs that differ in nothing but their seeds."""

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mlip_design.selection.runs import Run
from mlip_design.selection.statistics import Estimate, estimate

DEFAULT = "unset"
"""Value of a choice that a variant leaves to the configuration."""
ALONE = "the only variant"
"""Label of a variant that has no other to differ from."""

OF_A_RUN = re.compile(r"\+*(seed|resume|sweep|callbacks\.trial)\b")
"""Begins an override that says how a run was made, not what it trains."""


@dataclass(frozen=True)
class Variant:
    """One set of choices and its runs, one for every seed."""

    label: str
    """The choices in which it differs from the other variants."""
    choices: dict[str, str]
    """Key -> value of everything that was chosen, common choices too."""
    runs: tuple[Run, ...]
    """By seed."""

    @cached_property
    def metrics(self) -> dict[str, Estimate]:
        """Mean and interval over the seeds of every metric that all its runs have, `cost/NAME` too."""
        values = {name: [run.value(name) for run in self.runs] for name in self.runs[0].names}
        return {name: estimate(row) for name, row in values.items() if all(map(math.isfinite, row))}

    @property
    def overrides(self) -> list[str]:
        """Those of its most explicit run, but for the seed and the sweep to which that run belonged."""
        explicit = max(self.runs, key=lambda run: len(run.choices))
        return [override for override in explicit.overrides if not OF_A_RUN.match(override)]

    @property
    def command(self) -> str:
        """What trains it again, with the seed of its first run."""
        return shlex.join(["python", "train.py", *self.overrides, f"seed={self.runs[0].seed}"])

    def mean(self, name: str) -> float:
        """Mean of a metric over the seeds; NaN if a run has none."""
        return self.metrics[name].mean if name in self.metrics else math.nan


def group_runs(
    runs: list[Run], known: Sequence[Variant] = ()
) -> tuple[list[Variant], dict[str, str], dict[str, str]]:
    """Runs grouped by what their choices came to, however these were written.

    known: variants of another comparison, whose labels are used again. Returns the variants in the order of their first
    runs; the choices that all have in common; and the runs that repeat a seed of their variant, which are left out:
    folder -> why.
    """
    groups: dict[tuple, dict[int, Run]] = {}
    repeated = {}
    for run in runs:
        seeds = groups.setdefault(items(run.settings), {})
        if run.seed in seeds:
            repeated[str(run.folder)] = f"repeats seed {run.seed} of {seeds[run.seed].folder}"
        else:
            seeds[run.seed] = run
    choices = choices_of([list(seeds.values()) for seeds in groups.values()])
    differing = differing_choices(choices)
    labels = [label(chosen, differing, short=True) for chosen in choices]
    if len(set(labels)) < len(labels):
        labels = [label(chosen, differing, short=False) for chosen in choices]
    earlier = {items(variant.runs[0].settings): variant.label for variant in known}
    labels = [earlier.get(key, name) for key, name in zip(groups, labels, strict=True)]
    variants = [
        Variant(name, chosen, tuple(seeds[seed] for seed in sorted(seeds)))
        for name, chosen, seeds in zip(labels, choices, groups.values(), strict=True)
    ]
    shared = {key: value for key, value in choices[0].items() if key not in differing} if choices else {}
    return variants, shared, repeated


def items(words: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """A mapping as a key of another one."""
    return tuple(words.items())


def choices_of(groups: list[list[Run]]) -> list[dict[str, str]]:
    """The choices of each group of runs, as its most explicit run has them.

    To those of groups that were written alike and are not, for defaults changed between them, the settings are added in
    which these differ.
    """
    written = [max((run.choices for run in runs), key=len) for runs in groups]
    chosen = []
    for runs, choices in zip(groups, written, strict=True):
        alike = [other[0].settings for other, same in zip(groups, written, strict=True) if same == choices]
        differing = {key: runs[0].settings.get(key, DEFAULT) for key in differing_choices(alike)}
        chosen.append(choices | differing)
    return chosen


def differing_choices(choices: list[dict[str, str]]) -> list[str]:
    """Keys whose values are not the same in all variants: groups, then numbers and the like."""
    keys = sorted({key for chosen in choices for key in chosen}, key=lambda key: ("." in key, key))
    return [key for key in keys if len({chosen.get(key) for chosen in choices}) > 1]


def label(choices: dict[str, str], keys: list[str], short: bool) -> str:
    """Choices in words, `neighbors=diff_knn width=2`; short: without what is not needed to tell them apart."""
    if not keys:
        return ALONE
    last_words = [last_word(key) for key in keys]
    names = [
        word if short and last_words.count(word) == 1 else key for key, word in zip(keys, last_words, strict=True)
    ]
    values = [choices.get(key, DEFAULT) for key in keys]
    pairs = zip(names, [rounded(value) for value in values] if short else values, strict=True)
    return " ".join(f"{name}={value}" for name, value in pairs)


def last_word(key: str) -> str:
    """The part of a key after its last dot or slash."""
    return key.replace("/", ".").rpartition(".")[2]


def rounded(value: str) -> str:
    """A long number with four significant figures; anything else as it is."""
    try:
        return value if len(value) < 7 else f"{float(value):.4g}"
    except ValueError:
        return value
