"""A search: which trial comes next, and what became of each, kept so that any worker can be killed at any moment.

The number of a trial is the name of its run folder. A trial belongs to the worker that asked for it; when that worker
has died, whoever asks next takes it over and continues it. One lock guards asking and telling.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from mlip_design.selection.pareto import front
from mlip_design.selection.runs import Run
from mlip_design.sweep.locks import Worker, locked
from mlip_design.sweep.record import history
from mlip_design.sweep.samplers import make_sampler
from mlip_design.sweep.space import Space, grid_size
from mlip_design.sweep.storage import open_storage

MOST_TWINS = 50
"""Proposals in a row that repeat an earlier trial, after which the space counts as exhausted."""


@dataclass(frozen=True)
class Plan:
    """What is searched, and how far.

    objectives: names of metrics, all minimised. space: what varies. fixed: overrides of every trial. written: all of
    this as it was written, key -> value, by which a study is recognised. n_trials: of the study as a whole, repeated
    ones not counted. constraint: (metric, percent): at most so much above the best so far. study_name: None for the
    usual one.
    """

    objectives: list[str]
    space: Space
    fixed: list[str]
    written: dict[str, str]
    n_trials: int
    sampler: str
    seed: int
    constraint: tuple[str, float] | None = None
    storage: str | None = None
    study_name: str | None = None

    def variant(self, overrides: list[str]) -> str:
        """Those of a trial's overrides that others do not share."""
        return " ".join(override for override in overrides if override not in self.fixed)


@dataclass(frozen=True)
class Proposal:
    """A trial to run, or to continue. number: its number. folder: its run folder. overrides: what makes its run."""

    number: int
    folder: Path
    overrides: list[str]


class Study:
    """The study in a sweep folder, as one worker sees it.

    has_key: as `Space.propose` takes it. Raises ValueError if the folder holds a study of another plan.
    """

    def __init__(self, folder: Path, plan: Plan, has_key: Callable[[str, list[str]], bool]):
        self.folder, self.plan, self.has_key = folder, plan, has_key
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        make_sampler(plan.sampler, plan.space, plan.seed, 0)  # raises ValueError before anything is written
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = folder / "study.lock"
        self.exhausted = False
        with locked(self.lock):
            storage = open_storage(folder, plan.storage)
            name = plan.study_name or (str(folder.resolve()) if plan.storage else "sweep")
            if name in optuna.get_all_study_names(storage):
                self.study = optuna.load_study(study_name=name, storage=storage, sampler=RandomSampler())
            else:
                self.study = optuna.create_study(
                    study_name=name,
                    storage=storage,
                    sampler=RandomSampler(),
                    directions=["minimize"] * len(plan.objectives),
                )
            self.recognise()
        self.worker = Worker(folder / "workers")

    def recognise(self) -> None:
        """Write down the plan in a new study; compare it with that of an old one."""
        earlier = self.study.user_attrs.get("written")
        if earlier is None:
            self.study.set_user_attr("written", self.plan.written)
            return
        now = self.plan.written
        keys = [key for key in {**earlier, **now} if earlier.get(key) != now.get(key)]
        if keys:
            told = ", ".join(f"{key}={earlier[key]}" if key in earlier else f"no {key}" for key in keys)
            asked = ", ".join(f"{key}={now[key]}" if key in now else f"no {key}" for key in keys)
            raise ValueError(
                f"{self.folder} holds a study made with {told}, not {asked}; give the same, or another hydra.sweep.dir"
            )

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials with a run of their own, by number."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if has_run(trial)]

    def ask(self) -> Proposal | None:
        """The next trial: one whose worker died, or a new one; None if there is no more to do."""
        with locked(self.lock):
            for trial in self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
                if not self.worker.is_alive(trial.user_attrs.get("worker", "")) and (
                    taken := self.take_over(trial)
                ):
                    return taken
            return self.propose() if len(self.trials) < self.plan.n_trials else None

    def take_over(self, trial: FrozenTrial) -> Proposal | None:
        """A trial whose worker died; None, and it has failed, if that is in vain."""
        if not has_run(trial):
            return self.close(trial.number, TrialState.FAIL, reason="its worker died before it began")
        starts, done = trial.user_attrs["starts"], len(history(self.folder / str(trial.number)))
        if starts[-2:] == [done, done]:
            last = trial.user_attrs.get("reason")
            reason = f"its process died twice after {done} epochs" + (f" ({last})" if last else "")
            return self.close(trial.number, TrialState.FAIL, reason=reason, status="failed")
        return self.claim(trial.number, trial.user_attrs["overrides"], [*starts, done])

    def propose(self) -> Proposal | None:
        """A new trial. Those that repeat an earlier one get its values and are not run."""
        for _ in range(MOST_TWINS):
            number = len(self.study.get_trials(deepcopy=False))
            self.study.sampler = make_sampler(self.plan.sampler, self.plan.space, self.plan.seed, number)
            if self.plan.sampler == "grid" and number >= grid_size(self.plan.space.grid()):
                break
            trial = self.study.ask()
            overrides = [*self.plan.fixed, *self.plan.space.propose(trial, self.has_key)]
            twin = next((other for other in self.trials if other.user_attrs["overrides"] == overrides), None)
            if twin is None:
                return self.claim(trial.number, overrides, [0])
            is_done = twin.state == TrialState.COMPLETE
            state, values = (twin.state, twin.values) if is_done else (TrialState.FAIL, None)
            self.close(trial.number, state, values, twin=twin.number, reason=f"repeats trial {twin.number}")
        self.exhausted = True
        return None

    def claim(self, number: int, overrides: list[str], starts: list[int]) -> Proposal:
        """Make a trial this worker's. starts: how many epochs were done each time it was started."""
        # the overrides come last: a trial that has them was proposed to the end
        self.note(number, worker=self.worker.name, starts=starts, folder=str(number), overrides=overrides)
        return Proposal(number, self.folder / str(number), overrides)

    def give_back(self, number: int, is_its_fault: bool, reason: str | None = None) -> None:
        """Leave a trial that did not come to its end to whoever asks next."""
        with locked(self.lock):
            starts = self.study.trials[number].user_attrs["starts"]
            self.note(number, worker="", starts=starts if is_its_fault else starts[:-1], reason=reason)

    def tell(self, number: int, run: Run) -> FrozenTrial:
        """Record how the run of a trial ended; the trial as it is kept."""
        values = [run.value(name) for name in self.plan.objectives]
        missing = [
            name for name, value in zip(self.plan.objectives, values, strict=True) if not math.isfinite(value)
        ]
        with locked(self.lock):
            if run.finished and not missing:
                self.constrain(number, run)
                self.close(number, TrialState.COMPLETE, values, status=run.status, seed=run.seed)
            else:
                reason = f"{', '.join(missing)} is not a number" if run.finished else run.reason
                state = TrialState.PRUNED if run.status == "stopped" else TrialState.FAIL
                self.close(number, state, reason=reason, status=run.status, seed=run.seed)
            return self.study.trials[number]

    def constrain(self, number: int, run: Run) -> None:
        """Tell the sampler by which fraction a trial misses the constraint, judged by the best until now."""
        if self.plan.constraint is None:
            return
        metric, percent = self.plan.constraint
        value = run.value(metric)
        self.note(number, constrained=value)
        known = [trial.user_attrs["constrained"] for trial in self.trials if "constrained" in trial.user_attrs]
        self.handle(number).set_constraint(metric, value / (min(known) * (1 + percent / 100)) - 1)

    def close(self, number: int, state: TrialState, values: list[float] | None = None, **notes: Any) -> None:
        """End a trial."""
        self.note(number, **notes)
        self.study.tell(number, values, state, skip_if_finished=True)

    def note(self, number: int, **notes: Any) -> None:
        """Keep facts about a trial that has not ended."""
        trial = self.handle(number)
        for name, value in notes.items():
            trial.set_user_attr(name, value)

    def handle(self, number: int) -> optuna.Trial:
        """What Optuna changes a trial by; it samples nothing as long as nothing is suggested."""
        return optuna.Trial(self.study, self.study.get_trials(deepcopy=False)[number]._trial_id)

    def front(self) -> list[FrozenTrial]:
        """The finished trials that no other one beats in every objective."""
        done = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        if not done:
            return []
        on_front = front(np.array([trial.values for trial in done]))
        return [trial for trial, is_on_front in zip(done, on_front, strict=True) if is_on_front]


def has_run(trial: FrozenTrial) -> bool:
    """Whether a trial was proposed to the end and repeats no other one."""
    return "overrides" in trial.user_attrs and "twin" not in trial.user_attrs
