"""What a search proposes: the space as it is written, and nothing else."""

import numpy as np
import pytest
from search_studies import finish, open_study, plan_of, space_of


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
