"""The study of a search, without training: nothing is lost, doubled or mixed up, whoever dies when."""

import os
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from mlip_design.selection.pareto import hypervolume
from mlip_design.selection.runs import Run
from mlip_design.sweep.locks import Worker
from mlip_design.sweep.space import Space, distribution
from mlip_design.sweep.study import MOST_TWINS, Plan, Study

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


# The space


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ("k=a,b", {"a", "b"}),
        ("k=choice(1, true, [1,2])", {"1", "True", "[1,2]"}),
        ("k=range(1, 6, 2)", {"1", "3", "5"}),
        ("k=range(0.5, 2, 0.5)", {"0.5", "1", "1.5"}),
        ("k=int(interval(2, 4))", {"2", "3", "4"}),
    ],
)
def test_a_search_proposes_what_is_written_and_nothing_else(tmp_path, sweep, expected):
    study = open_study(tmp_path, plan_of(space_of(sweep)))
    assert {overrides[1].removeprefix("k=") for overrides in finish(study)} == expected
    assert study.exhausted


def test_log_interval(tmp_path):
    study = open_study(tmp_path, plan_of(space_of("k=tag(log, interval(1e-4, 1))"), n_trials=40))
    values = np.array([float(overrides[1].removeprefix("k=")) for overrides in finish(study)])
    assert ((values >= 1e-4) & (values <= 1)).all()
    assert 10 < (values < 1e-2).sum() < 30


@pytest.mark.parametrize("sweep", ["k=range(3, 3)", "k=interval(2, 1)", "k=tag(lin, interval(1, 2))"])
def test_a_sweep_without_sense_is_named(sweep):
    with pytest.raises(ValueError, match="k="):
        space_of(sweep)


def test_keys_that_the_chosen_blocks_do_not_have_are_left_out(tmp_path):
    space = space_of("block=broad,plain", "width=1,2", groups=("block",))
    study = open_study(tmp_path, plan_of(space), lambda key, blocks: "block=broad" in blocks)
    asked = {tuple(overrides[1:]) for overrides in finish(study)}
    assert asked == {("block=broad", "width=1"), ("block=broad", "width=2"), ("block=plain",)}


def test_grid_in_order_and_a_grid_of_an_interval(tmp_path):
    study = open_study(tmp_path / "a", plan_of(space_of("k=a,b", "l=range(0,3)"), sampler="grid"))
    points = [f"k={k} l={i}" for k in "ab" for i in range(3)]
    assert [" ".join(overrides[1:]) for overrides in finish(study)] == points
    with pytest.raises(ValueError, match="k: a grid needs choices or a range"):
        open_study(tmp_path / "b", plan_of(space_of("k=interval(0,1)"), sampler="grid"))
    assert not (tmp_path / "b").exists()


# The study


def test_what_becomes_of_trials(tmp_path):
    study = open_study(tmp_path, plan_of(space_of("k=interval(0,1)"), n_trials=5))
    ends = [
        (run_of(1, 2), TrialState.COMPLETE, None),
        (run_of(0, 0, "diverged", "the loss became nan"), TrialState.FAIL, "the loss became nan"),
        (run_of(0, 0, "failed", "MemoryError: planted"), TrialState.FAIL, "MemoryError: planted"),
        (run_of(0, 0, "stopped", "hopeless: 3 x"), TrialState.PRUNED, "hopeless: 3 x"),
        (run_of(1, float("nan")), TrialState.FAIL, "b is not a number"),
    ]
    for run, state, reason in ends:
        proposal = study.ask()
        trial = study.tell(proposal.number, run)
        assert (trial.state, trial.user_attrs.get("reason")) == (state, reason)
        assert trial.user_attrs["overrides"] == proposal.overrides
        assert (trial.user_attrs["folder"], trial.user_attrs["status"]) == (str(proposal.number), run.status)
        assert trial.user_attrs["seed"] == 3
    assert study.ask() is None
    assert [trial.number for trial in study.front()] == [0]


def test_twins_get_the_values_of_the_first_and_do_not_count(tmp_path):
    study = open_study(tmp_path, plan_of(space_of("k=choice(" + ",".join(map(str, range(8))) + ")"), n_trials=8))
    assert len({tuple(overrides) for overrides in finish(study)}) == 8
    twins = [trial for trial in study.study.trials if "twin" in trial.user_attrs]
    assert twins
    for twin in twins:
        first = study.study.trials[twin.user_attrs["twin"]]
        assert (twin.params, twin.values) == (first.params, first.values)


def test_an_exhausted_space_ends_the_search(tmp_path):
    study = open_study(tmp_path, plan_of(space_of("k=a,b"), n_trials=5))
    assert len(finish(study)) == 2
    assert study.exhausted
    assert all("twin" in trial.user_attrs for trial in study.study.trials[-MOST_TWINS:])


def test_a_search_that_is_continued_proposes_what_an_undisturbed_one_does(tmp_path):
    plan = plan_of(space_of("k=interval(0,1)", "l=a,b,c"), n_trials=14, sampler="tpe")
    whole = finish(open_study(tmp_path / "whole", plan))
    parts = []
    for _ in range(7):
        study = open_study(tmp_path / "parts", plan)
        for _ in range(2):
            proposal = study.ask()
            parts.append(proposal.overrides)
            study.tell(proposal.number, run_of(proposal.number))
        study.worker.leave()
    assert parts == whole
    assert finish(open_study(tmp_path / "other", plan_of(plan.space, 14, sampler="tpe", seed=2))) != whole


@pytest.mark.parametrize(
    "change, message",
    [
        ({"written": {"k": "b"}}, "made with k=a, not k=b"),
        ({"written": {"k": "a", "seed": "3"}}, "made with no seed, not seed=3"),
        ({"written": {}}, "made with k=a, not no k"),
    ],
)
def test_a_study_of_another_plan_is_refused(tmp_path, change, message):
    space = space_of("k=a,b")
    finish(open_study(tmp_path, plan_of(space, written={"k": "a"})))
    before = (tmp_path / "study.journal").read_bytes()
    with pytest.raises(ValueError, match=message):
        open_study(tmp_path, plan_of(space, **change))
    assert (tmp_path / "study.journal").read_bytes() == before


def test_constraint(tmp_path):
    study = open_study(tmp_path, plan_of(space_of("k=interval(0,1)"), n_trials=3, constraint=("a", 20)))
    for a in (10, 11.9, 12.1):
        study.tell(study.ask().number, run_of(a))
    missed = [trial.constraints["a"] for trial in study.trials]
    np.testing.assert_allclose(missed, [1 / 1.2 - 1, 1.19 / 1.2 - 1, 1.21 / 1.2 - 1])


def test_a_line_that_was_cut_off_is_mended(tmp_path):
    plan = plan_of(space_of("k=interval(0,1)"), n_trials=3)
    study = open_study(tmp_path, plan)
    study.tell(study.ask().number, run_of(1))
    with open(tmp_path / "study.journal", "ab") as file:
        file.write(b'{"op_code":')
    assert len(finish(open_study(tmp_path, plan))) == 2


def test_a_database_holds_a_study_too(tmp_path):
    plan = plan_of(space_of("k=interval(0,1)"), n_trials=2, storage=f"sqlite:///{tmp_path}/studies.db")
    assert len(finish(open_study(tmp_path / "a", plan))) == 2
    assert len(finish(open_study(tmp_path / "b", plan))) == 2
    assert finish(open_study(tmp_path / "a", plan)) == []
    with pytest.raises(ValueError, match="cannot open 'nosql://x'"):
        open_study(tmp_path / "c", plan_of(plan.space, storage="nosql://x"))


# Workers


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


# What it is for


def front_volume(folder: Path, sampler: str) -> float:
    """Hypervolume of the front of ZDT1 in six dimensions after 40 trials."""
    space = Space({f"x{i}": FloatDistribution(0, 1) for i in range(6)})
    study = open_study(folder, plan_of(space, 40, sampler=sampler))
    while proposal := study.ask():
        x = [float(override.partition("=")[2]) for override in proposal.overrides[1:]]
        g = 1 + 9 * np.mean(x[1:])
        study.tell(proposal.number, run_of(x[0], g * (1 - np.sqrt(x[0] / g))))
    return hypervolume(np.array([trial.values for trial in study.front()]), np.array([1.1, 6.0]))


def test_a_search_beats_chance(tmp_path):
    """On ZDT1; over ten seeds: benchmarks/sweeper.py."""
    assert front_volume(tmp_path / "tpe", "tpe") > 1.05 * front_volume(tmp_path / "random", "random")
