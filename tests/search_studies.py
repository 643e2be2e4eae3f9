"""Studies without training, for the tests of searches."""

from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from mlip_design.selection.runs import Run
from mlip_design.sweep.space import Space, distribution
from mlip_design.sweep.study import Plan, Study

PARSER = OverridesParser.create()


def space_of(*sweeps: str, groups: tuple[str, ...] = ()) -> Space:
    """A space from Hydra's own syntax."""
    overrides = PARSER.parse_overrides(list(sweeps))
    return Space({override.get_key_element(): distribution(override) for override in overrides}, frozenset(groups))


def plan_of(space: Space, n_trials: int = 100, **changes) -> Plan:
    """A plan with two objectives, `a` and `b`."""
    written = {key: str(d) for key, d in space.distributions.items()}
    settings = {"sampler": "random", "seed": 1, "fixed": ["seed=3"], "written": written} | changes
    return Plan(objectives=["a", "b"], space=space, n_trials=n_trials, **settings)


def run_of(a: float, b: float = 0.0, status: str = "finished", reason: str | None = None) -> Run:
    """A record with two metrics."""
    metrics = {} if status == "failed" else {"a": a, "b": b}
    return Run(Path("."), status, reason, 3, (), metrics, {}, {}, {}, {}, {})


def open_study(folder: Path, plan: Plan, has_key=lambda key, blocks: True) -> Study:
    return Study(folder, plan, has_key)


def finish(study: Study) -> list[list[str]]:
    """Ask and tell until there is no more; the overrides of all."""
    asked = []
    while proposal := study.ask():
        asked.append(proposal.overrides)
        study.tell(proposal.number, run_of(proposal.number))
    return asked
