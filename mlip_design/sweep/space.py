"""The space of a search: what each key may be, from Hydra's sweep syntax, as Optuna's distributions.

`choice(a, b)`, `a,b` and globs are unordered choices, `range(...)` equal steps, `interval(...)` a number between two
(whole if written `int(interval(...))`), `tag(log, ...)` spreads either evenly in the logarithm.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

LOG = "log"


@dataclass(frozen=True)
class Space:
    """distributions: key of an override -> what it may be. groups: keys that choose a block."""

    distributions: dict[str, BaseDistribution]
    groups: frozenset[str] = frozenset()

    def propose(self, trial: Trial, has_key: Callable[[str, list[str]], bool]) -> list[str]:
        """The overrides of a trial, blocks first; keys that the chosen blocks do not have are left out.

        has_key(key, overrides): whether the configuration has the key under these choices of blocks.
        """
        blocks = {key: suggest(trial, key, d) for key, d in self.distributions.items() if key in self.groups}
        chosen = [f"{key}={value}" for key, value in blocks.items()]
        numbers = [key for key in self.distributions if key not in self.groups and has_key(key, chosen)]
        return chosen + [f"{key}={suggest(trial, key, self.distributions[key])}" for key in numbers]

    def grid(self) -> dict[str, list[Any]]:
        """Every value of every key. Raises ValueError for a key with infinitely many."""
        return {key: values(key, distribution) for key, distribution in self.distributions.items()}


def distribution(override: Any) -> BaseDistribution:
    """What a key may be. override: a parsed Hydra `Override` that sweeps. Raises ValueError naming it."""
    sweep, written = override.value(), override.input_line
    tags = {str(tag) for tag in getattr(sweep, "tags", ())}
    if tags - {LOG} or (tags and override.is_choice_sweep()):
        raise ValueError(f"{written}: the only tag is {LOG}, of a range or an interval")
    try:
        if override.is_choice_sweep():
            return CategoricalDistribution(list(override.sweep_string_iterator()))
        if override.is_interval_sweep():
            kind = (
                IntDistribution
                if isinstance(sweep.start, int) and isinstance(sweep.end, int)
                else FloatDistribution
            )
            return kind(sweep.start, sweep.end, log=LOG in tags)
        steps = sorted(sweep.range())
        kind = IntDistribution if isinstance(steps[0], int) else FloatDistribution
        step = {} if LOG in tags else {"step": abs(sweep.step)}
        return kind(steps[0], steps[-1], log=LOG in tags, **step)
    except (ValueError, IndexError) as error:
        raise ValueError(f"{written}: {error}") from None


def suggest(trial: Trial, key: str, distribution: BaseDistribution) -> str:
    """What a trial takes for a key, as it is written in an override."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(key, distribution.choices)
    low, high, log = distribution.low, distribution.high, distribution.log
    step = {} if log or distribution.step is None else {"step": distribution.step}
    if isinstance(distribution, IntDistribution):
        return str(trial.suggest_int(key, low, high, log=log, **step))
    return f"{trial.suggest_float(key, low, high, log=log, **step):.6g}"


def values(key: str, distribution: BaseDistribution) -> list[Any]:
    """Every value of a distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if distribution.step is None:
        raise ValueError(f"{key}: a grid needs choices or a range, not an interval")
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    return [distribution.low + i * distribution.step for i in range(count)]


def grid_point(grid: dict[str, list[Any]], number: int) -> dict[str, Any]:
    """The point of a grid with a number, counted from 0; the last key varies fastest."""
    point = {}
    for key, choices in reversed(grid.items()):
        number, place = divmod(number, len(choices))
        point[key] = choices[place]
    return point


def grid_size(grid: dict[str, Iterable]) -> int:
    """How many points a grid has."""
    return math.prod(len(choices) for choices in grid.values())
