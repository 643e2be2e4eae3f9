"""`mlip-design select` and what it is made of: variants, guards, what may be compared."""

import json
import math
import shlex

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_records import write_points, write_record

from mlip_design.cli import main
from mlip_design.selection import compare, load_runs

GOOD, RULED = {"val/probe/force_jump": 1e-9}, ("pareto", "epsilon", "knee")


def selected(folder, **options):
    """The comparison of all runs in a folder."""
    runs, unreadable = load_runs([folder])
    return compare(runs, unreadable=unreadable, **options)


def known_front(rng: np.random.Generator, n_front: int, n_beaten: int) -> tuple[list, set]:
    """Points below half of zero forces, shuffled, and which are on the front: on a hyperbola; others lie above it."""
    x = np.sort(rng.uniform(0.1, 0.3, n_front))
    corners = np.column_stack([x, 3 / x])
    beaten = corners[rng.integers(n_front, size=n_beaten)] * rng.uniform(1, 1.4, (n_beaten, 2)) + 1e-9
    order = rng.permutation(n_front + n_beaten)
    points = np.concatenate([corners, beaten])[order].tolist()
    return points, {i for i, place in enumerate(order) if place < n_front}


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(0, 12))
def test_the_known_front_is_recovered(tmp_path_factory, seed, n_front, n_beaten):
    points, on_front = known_front(np.random.default_rng(seed), n_front, n_beaten)
    found = selected(write_points(tmp_path_factory.mktemp("runs"), points))
    models = {found[label].choices["model"] for label in found.front}
    assert models == {f"m{i}" for i in on_front}
    assert set(found.beaten_by) == {variant.label for variant in found.variants} - set(found.front)
    for label, beaters in found.beaten_by.items():
        for beater in beaters:
            assert all(found[beater].mean(name) <= found[label].mean(name) for name in (found.x, found.y))


def test_seeds_of_a_variant_are_taken_together(tmp_path):
    for seed, y in enumerate((10.0, 20.0, 30.0), start=1):
        write_record(tmp_path / f"a{seed}", ["model=a", "logger=wandb"], 0.1, y, seed)
    write_record(tmp_path / "b", ["model=b"], 0.2, 15.0)
    write_record(tmp_path / "c", ["model=b"], 0.3, 16.0)
    found = selected(tmp_path)
    assert [(variant.label, len(variant.runs)) for variant in found.variants] == [("model=a", 3), ("model=b", 1)]
    seen = found["model=a"].metrics[found.y]
    assert (seen.mean, seen.n) == (20.0, 3) and seen.high - seen.low == pytest.approx(
        2 * 4.3027 * 10 / math.sqrt(3), 1e-4
    )
    assert found.front == ("model=a", "model=b")
    assert found.left_out == {str(tmp_path / "c"): f"repeats seed 1 of {tmp_path / 'b'}"}


def test_labels_say_what_differs(tmp_path):
    common = ["data=extxyz", "trainer.max_epochs=2"]
    write_record(tmp_path / "0", [*common, "model/basis=bessel", "model.basis.width=0.123456789"])
    write_record(tmp_path / "1", [*common, "model/basis=gaussian", "model.basis.width=2"])
    write_record(tmp_path / "2", common)
    found = selected(tmp_path)
    labels = {variant.label for variant in found.variants}
    assert labels == {"basis=bessel width=0.1235", "basis=gaussian width=2", "basis=unset width=unset"}
    assert found.shared == {"data": "extxyz", "trainer.max_epochs": "2"}


def test_labels_are_different_where_short_ones_are_not(tmp_path):
    for i, value in enumerate(("0.10000001", "0.10000002")):
        write_record(tmp_path / str(i), [f"optimizer.lr={value}", f"schedule.lr={value}"])
    labels = [variant.label for variant in selected(tmp_path).variants]
    assert labels == [f"optimizer.lr={v} schedule.lr={v}" for v in ("0.10000001", "0.10000002")]


def test_picks_of_the_rules(tmp_path):
    points = [(0.100, 40.0), (0.104, 30.0), (0.15, 12.0), (0.30, 10.0), (0.2, 50.0)]
    picks = selected(write_points(tmp_path, points)).picks
    assert picks["pareto"].variants == ("model=m0", "model=m1", "model=m2", "model=m3")
    assert picks["epsilon"].variants == ("model=m1",)
    assert (
        "of the 2 out of 5 whose val force MAE is at most 5 % above the lowest, 100.0 meV/Å"
        in picks["epsilon"].reason
    )
    assert picks["knee"].variants == ("model=m2",)
    assert selected(tmp_path, epsilon=0.6).picks["epsilon"].variants == ("model=m2",)


@pytest.mark.parametrize(
    ("marked", "word"),
    [
        ({"x": 0.46, "y": 1.0}, "trivial"),
        ({"x": 0.09, "y": 53.0}, "rough"),
        ({"x": 0.09, "y": 5.0, "metrics": {"val/probe/force_jump": 0.02}}, "jumps"),
        ({"x": 0.09, "y": 5.0, "metrics": {"val/probe/energy_jump": 0.02}}, "jumps"),
    ],
)
def test_a_marked_variant_is_passed_over_and_never_silently(tmp_path, capsys, marked, word):
    write_record(tmp_path / "good", ["model=good"], 0.1, 20.0, metrics=GOOD)
    write_record(tmp_path / "worse", ["model=worse"], 0.3, 30.0, metrics=GOOD)
    write_record(tmp_path / "marked", ["model=marked"], **marked)
    found = selected(tmp_path, epsilon=1.0)
    assert [warning.partition(":")[0] for warning in found.warnings.pop("model=marked")] == [word]
    assert not found.warnings and "model=marked" in found.front
    for pick in found.picks.values():
        assert pick.variants == ("model=good",) and pick.reason.endswith("; 1 with a warning passed over")
    assert main(["select", str(tmp_path)]) == 0
    assert f" {word}: " in capsys.readouterr().out


def test_one_jump_among_seeds_is_a_jump(tmp_path):
    write_record(tmp_path / "1", ["model=a"], metrics={"val/probe/force_jump": 1.0})
    write_record(tmp_path / "2", ["model=a"], seed=2, metrics={"val/probe/force_jump": None})
    assert selected(tmp_path).warnings["the only variant"][0].startswith("jumps: val force jump 1000.0 meV/Å")


def test_where_all_are_marked_the_rules_say_so(tmp_path):
    found = selected(write_points(tmp_path, [(0.6, 20.0), (0.7, 10.0)]))
    assert found.picks["epsilon"].variants == ("model=m0",)
    assert all(pick.reason.endswith("; every variant has a warning") for pick in found.picks.values())


def test_unprobed_variants_are_told(tmp_path):
    write_record(tmp_path / "1", ["model=a"], metrics=GOOD)
    write_record(tmp_path / "2", ["model=b"])
    assert "Only 1 of 2 variants were probed for jumps" in selected(tmp_path).notes[0]


def test_a_third_objective_counts_in_who_beats_whom_and_not_in_the_other_rules(tmp_path, capsys):
    """The slow one beats the quick one in both usual objectives; by time the quick one is on the front too."""
    for name, x, y, seconds in (("slow", 0.1, 20.0, 0.9), ("quick", 0.2, 30.0, 0.1), ("neither", 0.3, 35.0, 0.5)):
        write_record(tmp_path / name, [f"model={name}"], x, y, cost={"seconds_per_step": seconds})
    assert selected(tmp_path).front == ("model=slow",)
    found = selected(tmp_path, also=["cost/seconds_per_step", "val/forces_mae"])
    assert found.objectives == ("val/forces_mae", "val/bsct/full_smoothness", "cost/seconds_per_step")
    assert found.front == found.picks["pareto"].variants == ("model=slow", "model=quick")
    assert found.beaten_by == {"model=neither": ("model=quick",)}
    assert found.picks["epsilon"].variants == found.picks["knee"].variants == ("model=slow",)
    assert found.picks["knee"].reason.endswith("; val force MAE and val FSD alone decide")
    assert found.hypervolume == selected(tmp_path).hypervolume
    also = ["--also", "cost/seconds_per_step", "--epsilon", "0.2"]
    assert main(["select", str(tmp_path), *also, "--json", str(tmp_path / "out.json")]) == 0
    printed = capsys.readouterr().out
    assert "time a step" in printed and "900.0" in printed
    assert (
        f"next  mlip-design finalists {tmp_path} --epsilon=0.2 --also=cost/seconds_per_step --seeds 5" in printed
    )
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["also"] == ["cost/seconds_per_step"]
    assert main(["select", str(tmp_path)]) == 0
    assert f"next  mlip-design finalists {tmp_path} --seeds 5" in capsys.readouterr().out


def test_hypervolume_is_measured_from_zero_forces(tmp_path):
    found = selected(write_points(tmp_path, [(0.4, 43.0), (0.1, 60.0), (0.2, 48.0)]))
    assert [(one.value, one.meaning) for one in found.references.values()] == [
        (0.9, "zero forces"),
        (53.0, "zero forces"),
    ]
    assert found.hypervolume == pytest.approx(0.7 * 5 + 0.5 * 5)


def test_hypervolume_of_other_metrics_is_measured_from_the_worst(tmp_path):
    found = selected(write_points(tmp_path, [(0.4, 43.0), (0.1, 60.0)]), y="cost/seconds")
    assert (
        found.references["cost/seconds"].value == 11
        and found.references["cost/seconds"].meaning == "1.1 times the worst"
    )


def test_optimism_shows_on_other_data(tmp_path):
    """The winner on validation scans is last on test scans."""
    write_record(tmp_path / "0", ["model=lucky"], 0.1, 10.0, metrics={"test/bsct/full_smoothness": 40.0})
    write_record(tmp_path / "1", ["model=solid"], 0.11, 20.0, metrics={"test/bsct/full_smoothness": 21.0})
    found = selected(tmp_path)
    assert found.held_out == ("test/forces_mae", "test/bsct/full_smoothness")
    assert (
        found.ranks["model=lucky"][found.y] == 1 and found.ranks["model=lucky"]["test/bsct/full_smoothness"] == 2
    )


def test_importance_finds_the_choice_that_matters(tmp_path):
    rng, i = np.random.default_rng(0), 0
    for neighbors in ("a", "b"):
        for width in np.geomspace(0.1, 3, 12):
            y = (10 if neighbors == "a" else 30) + rng.normal()
            write_record(
                tmp_path / str(i),
                [f"model/neighbors={neighbors}", f"model.basis.width={width}"],
                0.2 + width / 30,
                y,
            )
            i += 1
    shares = selected(tmp_path).importance
    assert shares["model/neighbors"]["val/bsct/full_smoothness"] > 0.95
    assert shares["model.basis.width"]["val/bsct/full_smoothness"] < 0.05
    assert shares["model.basis.width"]["val/forces_mae"] > 0.7


def test_failed_and_corrupt_runs_are_named_and_counted(tmp_path, capsys):
    write_points(tmp_path, [(0.1, 40.0), (0.2, 30.0)])
    write_record(tmp_path / "2", ["model=x"], status="diverged", reason="training loss became nan in epoch 0")
    write_record(tmp_path / "3", ["model=y"], y=None)
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / "results.json").write_text('{"schema": 1, "status"')
    assert main(["select", str(tmp_path), "--json", str(tmp_path / "out.json")]) == 0
    printed = capsys.readouterr().out
    assert "2 variants, 2 of 5 runs" in printed
    for words in (
        "training loss became nan",
        "no finite val/bsct/full_smoothness",
        "4/results.json: not a record of a run",
    ):
        assert words in printed
    written = json.loads((tmp_path / "out.json").read_text())
    assert len(written["left_out"]) == 3 and len(written["variants"]) == 2 and set(written["picks"]) == set(RULED)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"budget": {"epochs": 9}}, "epochs: 2 in 1 run"),
        ({"data": {"train": {"structures": 7, "mean_absolute_force": 0.9}}}, "train structures: 10 in 1 run"),
        ({"metrics": {"val/bsct/zero_full_smoothness": 50.0}}, "scans (FSD of zero forces): 53 in 1 run"),
    ],
)
def test_unequal_runs_are_refused_with_the_difference(tmp_path, capsys, changes, words):
    write_record(tmp_path / "0", ["model=a"])
    write_record(tmp_path / "1", ["model=b"], **changes)
    assert main(["select", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert words in error and str(tmp_path / "1") in error and "--allow-mixed" in error and error.count("\n") == 1
    assert main(["select", str(tmp_path), "--allow-mixed"]) == 0
    assert words in capsys.readouterr().out


def test_commands_train_the_variant_again(tmp_path, capsys):
    overrides = ["model=a", "data.train='a b.xyz'", "model.backbone.sizes=[1,2]"]
    write_record(tmp_path / "0", ["sweep=pareto", "callbacks.trial.factor=3", *overrides], seed=3)
    found = selected(tmp_path)
    assert shlex.split(found.variants[0].command) == ["python", "train.py", *overrides, "seed=3"]
    assert main(["select", str(tmp_path), "--rule", "knee"]) == 0
    printed = capsys.readouterr().out
    assert found.variants[0].command in printed and "pareto " not in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--x", "val/force_mae"], "did you mean val/forces_mae?"),
        (["--also", "cost/second"], "did you mean cost/seconds?"),
        (["--epsilon", "5"], "must be from 0 to 1, as 0.05 or 5%"),
        (["--epsilon", "much"], "'much'"),
        (["--rule", "best"], "'best'"),
        (["nowhere"], "nowhere: no run here"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, arguments, words):
    write_points(tmp_path, [(0.1, 40.0)])
    assert main(["select", str(tmp_path), *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and words in printed.err and printed.err.count("\n") == 1


def test_nothing_to_compare(tmp_path, capsys):
    write_record(tmp_path / "0", ["model=a"], status="failed", reason="MemoryError: planted")
    assert main(["select", str(tmp_path)]) == 2
    assert "nothing to compare in 1 run" in capsys.readouterr().err
    (tmp_path / "0" / "results.json").write_text("[]")
    assert main(["select", str(tmp_path)]) == 2
    assert "not a record of a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"), [("metrics", None), ("cost", [1]), ("seed", "1"), ("overrides", "model=a"), ("data", 3)]
)
def test_a_record_of_another_shape_is_named(tmp_path, capsys, name, value):
    write_points(tmp_path, [(0.1, 40.0)])
    write_record(tmp_path / "odd", ["model=odd"])
    file = tmp_path / "odd" / "results.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))
    assert main(["select", str(tmp_path)]) == 0
    assert f"{file}: {name}: {value!r} is not a" in " ".join(capsys.readouterr().out.split())


def test_lines_fit_the_terminal(tmp_path, capsys, monkeypatch):
    """Tables and reasons; commands and folders may be longer, so that they can be copied."""
    monkeypatch.setenv("COLUMNS", "100")
    for i in range(12):
        choices = [
            f"model/neighbors=neighbors_{i}",
            f"model/attention=attention_[{i}]",
            f"model.basis.width={i}.1234567",
        ]
        write_record(tmp_path / str(i), choices, 0.1 + 0.01 * i, 40.0 - i)
    assert main(["select", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert any("attention=attention_[3]" in line for line in printed)
    assert max(len(line) for line in printed if "train.py" not in line and str(tmp_path) not in line) <= 100
