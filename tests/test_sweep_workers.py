"""Workers on one study, without training: nothing is lost, doubled or mixed up, whoever dies when."""

import os
import signal
import time
from multiprocessing import get_context
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState
from search_studies import finish, open_study, plan_of, run_of, space_of

from mlip_design.sweep.locks import Worker
from mlip_design.sweep.study import Plan


class Simulated:
    """A worker whose death is decided by a test."""

    def __init__(self, name: str, alive: set[str]):
        self.name, self.alive = name, alive

    def is_alive(self, name: str) -> bool:
        return name in self.alive


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(["ask", "tell", "die"])), max_size=25))
def test_whoever_dies_nothing_is_lost_or_doubled(tmp_path_factory, events):
    """Three workers ask, tell and die in any order; in the end all six trials are told, each once, by who has it."""
    plan = plan_of(space_of("k=interval(0,1)"), n_trials=6)
    folder, alive = tmp_path_factory.mktemp("study"), set("ABC")
    study = open_study(folder, plan)
    hands, overrides, told = {name: [] for name in "ABC"}, {}, []

    def ask(name: str):
        study.worker = Simulated(name, alive)
        proposal = study.ask()
        if proposal:
            assert all(proposal.number not in hands[other] for other in alive)
            assert overrides.setdefault(proposal.number, proposal.overrides) == proposal.overrides
            hands[name].append(proposal.number)
            (proposal.folder).mkdir(exist_ok=True)  # an epoch of progress, so that no death counts against it
            rows = "epoch\n" + "".join(f"{i}\n" for i in range(len(list(proposal.folder.iterdir())) + 1))
            (proposal.folder / f"{len(rows)}").touch()
            (proposal.folder / "metrics.csv").write_text(rows)
        return proposal

    def tell(name: str):
        number = hands[name].pop()
        told.append(number)
        study.tell(number, run_of(number))

    for name, event in events:
        if event == "ask":
            alive.add(name)  # a new process under the same name holds nothing
            ask(name)
        elif event == "tell" and hands[name] and name in alive:
            tell(name)
        elif event == "die":
            alive.discard(name)
            hands[name].clear()
    alive.clear()
    alive.add("D")
    for numbers in hands.values():
        numbers.clear()
    hands["D"] = []
    while ask("D"):
        tell("D")
    assert sorted(told) == list(range(6))
    assert [trial.state for trial in study.study.trials] == [TrialState.COMPLETE] * 6


def test_a_trial_that_kills_its_process_twice_has_failed(tmp_path):
    study = open_study(tmp_path, plan_of(space_of("k=a,b"), n_trials=2))
    for start in ([0], [0, 0]):
        study.worker.name = f"dead {start}"
        assert study.ask().number == 0
        assert study.study.trials[0].user_attrs["starts"] == start
    study.worker.name = "alive"
    assert study.ask().number == 1
    assert study.study.trials[0].state == TrialState.FAIL
    assert study.study.trials[0].user_attrs["reason"] == "its process died twice after 0 epochs"


def test_a_trial_that_is_given_back_goes_to_who_asks_next(tmp_path):
    """What Ctrl-C does not count against it, a process that died does."""
    study = open_study(tmp_path, plan_of(space_of("k=a,b"), n_trials=2))
    for is_its_fault, starts in ((False, []), (False, []), (True, [0])):
        assert study.ask().number == 0
        study.give_back(0, is_its_fault)
        assert study.study.trials[0].user_attrs["starts"] == starts
    assert open_study(tmp_path, study.plan).ask().number == 0


def work(folder: Path, plan: Plan, pause: float) -> None:
    """What a worker process does."""
    study = open_study(folder, plan)
    while proposal := study.ask():
        time.sleep(pause)
        study.tell(proposal.number, run_of(proposal.number))


def test_processes_share_a_study_and_one_is_killed(tmp_path):
    context = get_context("forkserver")
    plan = plan_of(space_of("k=interval(0,1)"), n_trials=12)
    victim = context.Process(target=work, args=(tmp_path, plan, 600))
    victim.start()
    while (
        not list((tmp_path / "workers").glob("*")) or '"overrides"' not in (tmp_path / "study.journal").read_text()
    ):
        time.sleep(0.05)
    others = [context.Process(target=work, args=(tmp_path, plan, 0.1)) for _ in range(2)]
    for process in others:
        process.start()
    time.sleep(0.3)
    os.kill(victim.pid, signal.SIGKILL)
    for process in (victim, *others):
        process.join(60)
    assert [victim.exitcode, *(process.exitcode for process in others)] == [-9, 0, 0]
    study = open_study(tmp_path, plan)
    finish(study)  # the last one may have asked before the victim was dead
    trials = study.study.trials
    assert [trial.number for trial in trials] == list(range(12))
    assert [trial.values[0] for trial in trials] == list(range(12))
    assert len({tuple(trial.user_attrs["overrides"]) for trial in trials}) == 12
    assert trials[0].user_attrs["starts"] == [0, 0]


def hold(folder: Path, name, held) -> None:
    """A process that is a worker until it is told to end."""
    worker = Worker(folder)
    name.put(worker.name)
    held.wait()


def test_a_worker_is_alive_as_long_as_its_process(tmp_path):
    context = get_context("forkserver")
    name, held = context.Queue(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, name, held))
    process.start()
    other, me = name.get(timeout=60), Worker(tmp_path)
    assert me.is_alive(me.name) and me.is_alive(other) and not me.is_alive("never was")
    process.kill()
    process.join()
    assert not me.is_alive(other)
