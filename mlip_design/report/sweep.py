"""What a sweep prints: its plan, a line a trial, the front, and how the runs ended."""

import os
import shlex
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial, TrialState

from mlip_design.selection.comparison import X, Y
from mlip_design.selection.runs import Run
from mlip_design.sweep.study import Plan, Study


def opening(folder: Path, plan: Plan, config: DictConfig) -> str:
    """What is searched for, and how trials are stopped early."""
    lines = [
        f"sweep {folder}: {plan.n_trials} trials ({plan.sampler}) over {', '.join(plan.space.distributions)}",
        f"minimised: {', '.join(plan.objectives)}",
    ]
    if plan.constraint:
        lines.append(f"constraint: {plan.constraint[0]} at most {plan.constraint[1]:g} % above the best so far")
    rule = OmegaConf.select(config, "callbacks.trial")
    if rule is not None:
        lines.append(
            f"stopped early: a trial whose val/forces_mae after {rule.after:.0%} of the epochs is above "
            f"{rule.factor:g} x the lowest that another one had then"
        )
    lines.append(f"to go on after a stop, or to add a worker: the same command with hydra.sweep.dir={folder}")
    return "\n".join(lines)


def trial_line(trial: FrozenTrial, study: Study) -> str:
    """Number, objectives or why there are none, and the front so far."""
    if trial.state != TrialState.COMPLETE:
        status = trial.user_attrs.get("status", "failed")
        return f"trial {trial.number} {status}: {trial.user_attrs['reason']}"
    named = zip(study.plan.objectives, trial.values, strict=True)
    values = ", ".join(f"{name} {value:.4g}" for name, value in named)
    front = ", ".join(str(other.number) for other in study.front())
    return f"trial {trial.number} {values}; front so far: {front}"


def front_table(folder: Path, study: Study) -> str:
    """The trials that no other one beats, by the first objective, and what to do next."""
    names = study.plan.objectives
    lines = ["", "front: trials that no other one beats in every objective", "".join(f"{n:>28}" for n in names)]
    for trial in sorted(study.front(), key=lambda trial: trial.values):
        cells = "".join(f"{value:>28.4g}" for value in trial.values)
        lines.append(
            f"{cells}   {folder / str(trial.number)}  {study.plan.variant(trial.user_attrs['overrides'])}"
        )
    command = shlex.join(["mlip-design", "select", str(folder), *metric_options(names)])
    return "\n".join([*lines, "", f"next        {command}"])


def metric_options(objectives: list[str]) -> list[str]:
    """What makes `mlip-design select` compare by the objectives of a search, where these are not the usual two."""
    others = [name for name in objectives if name not in (X, Y)]
    options = []
    for axis, usual in (("x", X), ("y", Y)):
        if usual not in objectives and others:
            options.append(f"--{axis}={others.pop(0)}")
    return options + [f"--also={name}" for name in others]


def ending(folder: Path, runs: list[Run], unreadable: dict[Path, str]) -> str:
    """How many runs of a folder came to which end, and why some did not finish; the same reason is told once."""
    counts = {status: sum(run.status == status for run in runs) for status in sorted({run.status for run in runs})}
    lines = [f"{folder}: {', '.join(f'{count} {status}' for status, count in counts.items())}"]
    alike: dict[str, list[str]] = {}
    for run in runs:
        if not run.finished:
            alike.setdefault(f"{run.status}: {run.reason}", []).append(os.path.relpath(run.folder, folder))
    lines += [f"  {', '.join(names)} {end}" for end, names in alike.items()]
    lines += [f"  {file}: unreadable: {why}" for file, why in unreadable.items()]
    return "\n".join(lines)
