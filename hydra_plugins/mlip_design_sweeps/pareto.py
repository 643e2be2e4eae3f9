"""`python train.py sweep=pareto`: Optuna behind Hydra. Settings: conf/hydra/sweeper/pareto.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from mlip_design.sweep.study import Proposal, Study


class ParetoSweeper(Sweeper):
    """Proposes trials, has a Hydra launcher run them and learns from their `results.json`.

    space: key -> Hydra sweep. n_trials: of the study as a whole. n_jobs: trials launched together. sampler: name in
    `mlip_design.sweep.samplers.SAMPLERS`. seed: of the sampler. storage: URL of a database; None for a journal file in
    the sweep folder. study_name: in a database; None for the path of the sweep folder. constraint: metric and percent,
    at most so much above the best so far; None for none.
    """

    def __init__(
        self,
        space: dict[str, Any],
        n_trials: int,
        n_jobs: int,
        sampler: str,
        seed: int,
        storage: str | None,
        study_name: str | None,
        constraint: dict[str, Any] | None,
    ):
        self.settings = {"sampler": sampler, "seed": seed, "storage": storage, "study_name": study_name}
        self.space = space
        self.n_trials = n_trials
        self.n_jobs = n_jobs
        self.constraint = constraint

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        self.config = config
        self.loader = hydra_context.config_loader
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until the study has all of them. arguments: the command line without hydra.* overrides."""
        from hydra_plugins.mlip_design_sweeps._planning import Planner
        from mlip_design.report.sweep import front_table, opening
        from mlip_design.sweep.study import Study

        folder = Path(str(self.config.hydra.sweep.dir))
        planner = Planner(self.loader, self.config)
        plan = planner.plan(self.space, arguments, self.n_trials, self.n_jobs, self.constraint, self.settings)
        if not (folder / "study.lock").exists():
            planner.check(plan)
        study = Study(folder, plan, planner.has_key)
        print(opening(folder, plan, self.config), flush=True)
        try:
            while proposals := self.ask(study):
                self.launch(study, proposals)
        finally:
            study.worker.leave()
        if study.exhausted:
            print("no more trials: every proposal repeats an earlier one", flush=True)
        print(front_table(folder, study), flush=True)

    def ask(self, study: Study) -> list[Proposal]:
        """The trials to launch together, at most n_jobs."""
        proposals = []
        while len(proposals) < self.n_jobs and (proposal := study.ask()):
            proposals.append(proposal)
        return proposals

    def launch(self, study: Study, proposals: list[Proposal]) -> None:
        """Run trials, but for those that another worker ran to the end before it died, and tell the study."""
        from mlip_design.config import one_line
        from mlip_design.report.sweep import trial_line
        from mlip_design.sweep.record import is_over, recorded

        waiting = [proposal for proposal in proposals if not is_over(recorded(proposal.folder))]
        jobs = [[*proposal.overrides, f"hydra.sweep.subdir={proposal.number}"] for proposal in waiting]
        is_its_fault, reason = True, None
        for proposal in waiting:
            print(f"trial {proposal.number} ({study.plan.variant(proposal.overrides)}) ...", flush=True)
        try:
            if jobs:
                self.launcher.launch(jobs, initial_job_idx=waiting[0].number)
        except Exception as error:  # of a launcher: one trial's end is not the sweep's
            reason = f"{type(error).__name__}: {one_line(error)}"
        except BaseException:  # Ctrl-C, SIGTERM
            is_its_fault = False
            raise
        finally:
            for proposal in proposals:
                if is_over(run := recorded(proposal.folder)):
                    print(trial_line(study.tell(proposal.number, run), study), flush=True)
                else:
                    study.give_back(proposal.number, is_its_fault, reason)
