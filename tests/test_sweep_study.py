"""The study of a search, without training: what it keeps of trials, resumes, refuses, and what it is for."""

from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from search_studies import finish, open_study, plan_of, run_of, space_of

from mlip_design.selection.pareto import hypervolume
from mlip_design.sweep.space import Space
from mlip_design.sweep.study import MOST_TWINS

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
