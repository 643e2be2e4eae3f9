"""From the configuration of a sweep to a `Plan`: what Hydra can tell of keys, groups and values before a trial runs."""

from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from hydra_plugins.mlip_design_sweeps._measured import check_measured
from mlip_design.config import dotted
from mlip_design.sweep.space import Space, distribution, grid_size
from mlip_design.sweep.study import Plan


class Planner:
    """loader: Hydra's. config: the main configuration, of which trials differ by overrides."""

    def __init__(self, loader: Any, config: DictConfig):
        self.loader, self.config = loader, config
        self.keys = cache(self.composed_keys)

    def plan(
        self,
        space: dict[str, Any],
        arguments: list[str],
        n_trials: int,
        n_jobs: int,
        constraint: dict[str, Any] | None,
        settings: dict[str, Any],
    ) -> Plan:
        """What is asked for. space: of the configuration, which the arguments extend, replace or fix.

        Raises ValueError for a setting that is out of range or a space in which nothing varies.
        """
        for name, number in (("n_trials", n_trials), ("n_jobs", n_jobs)):
            if not isinstance(number, int) or number < 1:
                raise ValueError(f"hydra.sweeper.{name}: {number!r} is not a whole number of at least 1")
        overrides = self.parse(space, arguments)
        varied = {key: override for key, override in overrides.items() if override.is_sweep_override()}
        if not varied:
            raise ValueError("hydra.sweeper.space: nothing varies; add key=choice(...) to the command line")
        self.fixed = [override.input_line for key, override in overrides.items() if key not in varied]
        objectives = self.config.objectives
        if isinstance(objectives, str) or not objectives:
            raise ValueError(f"objectives: {objectives} is not a list of metrics, such as [val/forces_mae]")
        objectives = list(objectives)
        searched = Space(
            {key: distribution(override) for key, override in varied.items()},
            groups=frozenset(key for key, override in varied.items() if self.is_group(override)),
        )
        if settings["sampler"] == "grid":
            n_trials = min(n_trials, grid_size(searched.grid()))
        return Plan(
            objectives=objectives,
            space=searched,
            fixed=self.fixed,
            written={
                **{key: value(override) for key, override in overrides.items()},
                "objectives": ",".join(objectives),
            },
            n_trials=n_trials,
            constraint=constrained(constraint),
            **settings,
        )

    def parse(self, space: dict[str, Any], arguments: list[str]) -> dict[str, Override]:
        """Every override by its key; those of the command line replace those of the space."""
        parser = OverridesParser.create(config_loader=self.loader)
        written = {key: ",".join(map(str, v)) if isinstance(v, list) else v for key, v in space.items()}
        listed = parser.parse_overrides([f"{key}={sweep}" for key, sweep in written.items() if sweep is not None])
        for override in listed:
            if not override.is_sweep_override():
                raise ValueError(
                    f"hydra.sweeper.space: {override.input_line} is no choice, range or interval; "
                    "what is the same in every trial belongs on the command line"
                )
        return {override.get_key_element(): override for override in [*listed, *parser.parse_overrides(arguments)]}

    def is_group(self, override: Override) -> bool:
        """Whether an override chooses a block rather than set a value."""
        return bool(self.loader.get_group_options(override.key_or_group))

    def check(self, plan: Plan) -> None:
        """Refuse a space or objectives that no trial could have; what Hydra refuses, it says itself."""
        known = set(self.keys(()))
        for key in plan.space.groups:
            for choice in plan.space.distributions[key].choices:
                known |= self.keys((f"{key}={choice}",))
        for key in plan.space.distributions:
            if key not in known and key not in plan.space.groups and not key.startswith("+"):
                self.compose(f"{key}=null")
        names = [*plan.objectives, *([plan.constraint[0]] if plan.constraint else [])]
        check_measured(names, self.compose())

    def has_key(self, key: str, blocks: list[str]) -> bool:
        """Whether the configuration of a trial with these blocks has a key."""
        return key.startswith("+") or key in self.keys(tuple(blocks))

    def composed_keys(self, blocks: tuple[str, ...]) -> frozenset[str]:
        """All keys of the configuration of a trial with these blocks."""
        return frozenset(dotted(self.compose(*blocks)))

    def compose(self, *overrides: str) -> DictConfig:
        """The configuration of a trial."""
        return self.loader.load_sweep_config(self.config, [*self.fixed, *overrides])


def value(override: Override) -> str:
    """The value of an override as it was written, without spaces."""
    return override.input_line.partition("=")[2].replace(" ", "")


def constrained(constraint: dict[str, Any] | None) -> tuple[str, float] | None:
    """Metric and percent of a constraint."""
    if constraint is None:
        return None
    if not isinstance(constraint, dict) or set(constraint) != {"metric", "percent"}:
        raise ValueError(
            f"hydra.sweeper.constraint: {constraint} is not of the form {{metric: NAME, percent: NUMBER}}"
        )
    return constraint["metric"], float(constraint["percent"])
