"""How the next trial is chosen: Optuna's samplers, made anew for every proposal.

A proposal depends on the seed, its number and what is known by then, on nothing that a process keeps: a search that was
killed goes on as if it had not been, and workers propose different trials.
"""

import warnings
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from mlip_design.sweep.space import Space, grid_point, grid_size

POPULATION = 12
"""Trials of a generation of NSGA-II: small, for a trial is a training."""


class Grid(BaseSampler):
    """Every point of a space in turn, by the number of the trial."""

    def __init__(self, space: Space):
        self.grid = space.grid()
        self.size = grid_size(self.grid)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """No keys: each is looked up by itself."""
        return {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, key: str, distribution: BaseDistribution
    ) -> Any:
        """The value of a key."""
        return grid_point(self.grid, trial.number % self.size)[key]


def make_tpe(space: Space, seed: int, varied: int) -> BaseSampler:
    """Tree-structured Parzen estimator: models where good trials lie."""
    return TPESampler(seed=varied)


def make_nsga2(space: Space, seed: int, varied: int) -> BaseSampler:
    """Evolution by non-dominated sorting."""
    return NSGAIISampler(population_size=POPULATION, seed=varied)


def make_random(space: Space, seed: int, varied: int) -> BaseSampler:
    """Uniform in the space."""
    return RandomSampler(seed=varied)


def make_qmc(space: Space, seed: int, varied: int) -> BaseSampler:
    """A scrambled Sobol sequence over numbers; choices at random."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        independent = RandomSampler(seed=varied)
        return QMCSampler(
            scramble=True, seed=seed, independent_sampler=independent, warn_independent_sampling=False
        )


def make_grid(space: Space, seed: int, varied: int) -> BaseSampler:
    """Every combination."""
    return Grid(space)


SAMPLERS: dict[str, Callable[[Space, int, int], BaseSampler]] = {
    "tpe": make_tpe,
    "nsga2": make_nsga2,
    "qmc": make_qmc,
    "random": make_random,
    "grid": make_grid,
}


def make_sampler(name: str, space: Space, seed: int, number: int) -> BaseSampler:
    """The sampler for the proposal of that number. Raises ValueError for an unknown name."""
    if name not in SAMPLERS:
        close = get_close_matches(str(name), SAMPLERS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"hydra.sweeper.sampler: {name!r} is not one of {', '.join(SAMPLERS)}{hint}")
    varied = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    return SAMPLERS[name](space, seed, varied)
