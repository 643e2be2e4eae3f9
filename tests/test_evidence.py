"""The studies find what was planted in the numbers of runs, and write it down; their instruments work on a real run."""

import json
import re
import shutil
from itertools import combinations
from pathlib import Path
from zlib import crc32

import ase
import numpy as np
import pytest
import tiny_run
from ase.neighborlist import neighbor_list
from run_records import write_record
from scipy.stats import ttest_ind

from mlip_design.arguments import check_arguments
from mlip_design.data.sources import bundled
from mlip_design.dynamics.protocol import Protocol
from mlip_design.stored_model import bundled_models
from studies import correlation, coverage, evidence, factorial, ladder, measuring, value
from studies.__main__ import add_cost, cost, save
from studies.measuring import RECORD
from studies.records import KEYS, load, scans
from studies.settings import Setting, new_molecules, on_acac, on_bundled, on_spice
from studies.training import plan
from studies.variants import CELLS, FACTORS, LADDER, N_SEEDS, SEEDED, VARIANTS

N_SCANS = 12
BUNDLED = on_bundled()
STAGES = BUNDLED.stages
FSD = "full_smoothness"
EVEN = {"slope": [4.0] * 4, "steepest": [0.25] * 4, "near_equilibrium": 0.5}


def write_study(folder: Path, numbers, setting: Setting = BUNDLED) -> list:
    """Runs of variants as if trained and measured. numbers: (variant, seed) -> changes of what was measured."""
    trainings = plan(folder, setting, N_SEEDS, [])
    rng = np.random.default_rng(0)
    rough = rng.uniform(0.8, 1.2, N_SCANS)
    rough /= rough.mean()
    for training in trainings:
        said = {
            FSD: 40.0,
            "force_mae": 0.2,
            "drift": 0.1,
            "force_jump": 0.0,
            "survival": 1.0,
            "unfinished": 0,
        } | numbers(training.label, training.seed)
        metrics = {f"{split}/forces_mae": said["force_mae"] for split in ("val", "test", "test_new")}
        metrics |= {f"{split}/energy_mae_per_atom": 0.01 for split in ("test", "test_new")}
        metrics |= {"val/bsct/full_smoothness": said[FSD], "val/bsct/seconds": 1.0, "test/bsct/seconds": 1.0}
        facts = {"structures": 10, "atoms": 90, "mean_absolute_force": 0.9}
        data = {split: facts for split in ("train", "val", "test", "test_new")}
        write_record(training.folder, training.overrides, seed=training.seed, metrics=metrics, data=data)
        for stage in STAGES:
            names = [*KEYS, *(f"zero_{key}" for key in KEYS)]
            rows = [[*[said[FSD] * factor] * len(KEYS), *[50.0] * len(KEYS)] for factor in rough]
            text = [",".join(map(str, row)) for row in (names, *rows)]
            (training.folder / f"scans_{stage}.csv").write_text("\n".join(text))
        measured = {
            "probe": {"force_jump": said["force_jump"], "energy_jump": said["force_jump"] / 10}
            | {"unfinished": said["unfinished"], "seconds": 1.0},
            "derivatives": {"jacobian_asymmetry": 1e-9 * rng.random(), "hessian_norm": 50.0, "seconds": 1.0},
            "dynamics": {"drift": said["drift"], "fluctuation": said["drift"], "survival": said["survival"]}
            | {"largest_drift": said["drift"], "seconds": 10.0},
        }
        (training.folder / RECORD).write_text(json.dumps(measured))
        simulated = {"survival": 1.0, "drift": said["drift"], "largest_drift": said["drift"], "fluctuation": 0.1}
        (training.folder / value.RECORD).write_text(json.dumps({"molecules": simulated, "crystals": simulated}))
        (training.folder / coverage.RECORD).write_text(json.dumps(said.get("coverage", EVEN)))
    return trainings


def planted(label: str, seed: int) -> dict:
    """The basis takes 30 1/Å from the FSD, and 10 more of it with differentiable neighbours; these end the jumps."""
    levels = {name: levels for levels, name in CELLS.items()}.get(label, (1, 1, 1))
    signs = 2 * np.array(levels) - 1
    fsd = 60.0 - 15 * signs[2] - 5 * signs[0] * signs[2] + seed
    return {FSD: fsd, "drift": 1e-4 if levels[0] else 1.0, "force_jump": 0.0 if levels[0] else 0.3}


def test_factorial_finds_the_planted_effects(tmp_path):
    facts = factorial.analyse(load(write_study(tmp_path, planted), STAGES))
    effects = {name: row[FSD]["mean"] for name, row in facts["effects"].items()}
    expected = dict.fromkeys(effects, 0.0) | {"basis": -30.0, "neighbours × basis": -10.0}
    assert effects == pytest.approx(expected, abs=1e-9)
    assert facts["effects"]["neighbours"]["drift"]["mean"] == pytest.approx(-4)
    said = factorial.text(facts)
    assert "FSD, 1/Å: the largest effect that is clear of 0 is that of basis, -30.0" in said
    assert "tau > 1" in said


def test_factorial_has_an_interval_that_knows_the_noise_of_seeds(tmp_path):
    facts = factorial.analyse(
        load(
            write_study(tmp_path, lambda label, seed: {FSD: 20.0 + crc32(f"{label} {seed}".encode()) % 50}), STAGES
        )
    )
    assert all(row[FSD]["low"] < row[FSD]["mean"] < row[FSD]["high"] for row in facts["effects"].values())


def test_ladder_judges_steps_by_the_same_scans(tmp_path):
    fsd = {"baseline": 90.0, "diff_knn": 60.0, "temperature": 60.0, "smooth_attn": 65.0}
    records = load(write_study(tmp_path, lambda label, seed: {FSD: fsd.get(label, 60.0)}), STAGES)
    facts = ladder.analyse(records, BUNDLED)
    verdicts = {step["after"]: step[FSD]["verdict"] for step in facts["steps"]}
    assert verdicts["diff_knn"] == "lower"
    assert verdicts["temperature"] == "unclear"
    assert verdicts["smooth_attn"] == "higher"
    assert facts["ratios"]["FSD"]["ratio"] == pytest.approx(65 / 90)
    said = ladder.text(facts)
    assert "| zero forces | 50.0 |" in said
    assert "not clearly lower than the one before: `temperature`, `smooth_attn`." in said
    assert "- FSD: 0.722 of `baseline`, asked: at most 0.45: **no**" in said
    assert "force jump of `smooth_attn` over all seeds: 0 eV/Å, asked: none: **yes**" in said


def test_coverage_tells_the_bases_apart(tmp_path):
    rough = {"slope": [20.0, 10.0, 5.0, 6.0], "steepest": [0.6, 0.3, 0.1, 0.0], "near_equilibrium": 0.1}
    narrow = {name for levels, name in CELLS.items() if levels[2] == 0}
    facts = coverage.analyse(
        load(write_study(tmp_path, lambda label, _: {"coverage": rough} if label in narrow else {}), STAGES)
    )
    assert set(facts["variants"]) == set(SEEDED)
    said = coverage.text(facts)
    assert "With the narrow basis the slope is 20.0 1/Å where training has no such pair and 6.0 where" in said
    assert "With the broad basis the slope is 4.0 1/Å where training has no such pair and 4.0 where" in said
    assert "90 % of the scans have their FSD where it has fewer than 10, 10 % within" in said


def test_coverage_counts_pairs_of_the_elements_of_the_bond():
    scan, training = coverage.all_scans()[0], bundled()["train"]
    bond, counts = set(scan.numbers[list(scan.bond_index)].tolist()), np.zeros(len(scan.lengths) - 1)
    for structure in (training[index] for index in range(len(training))):
        for one, other in combinations(range(len(structure.numbers)), 2):
            if {structure.numbers[one], structure.numbers[other]} == bond:
                distance = np.linalg.norm(structure.positions[one] - structure.positions[other])
                counts += np.abs(coverage.middles(scan) - distance) < coverage.REACH
    levels = np.select([counts < 1, counts < 10, counts < 100], [0, 1, 2], 3)
    assert (coverage.covered(scan) == levels).all() and len(set(levels)) == 4


def test_coverage_of_a_model_of_the_package(tmp_path, monkeypatch):
    folder, few = (
        shutil.copytree(bundled_models()["smooth_attn-bundled"], tmp_path / "model"),
        coverage.all_scans()[:5],
    )
    monkeypatch.setattr(coverage, "all_scans", lambda: few)
    coverage.measure(folder)
    found = json.loads((folder / coverage.RECORD).read_text())
    assert sum(found["steepest"]) == pytest.approx(1) and 0 <= found["near_equilibrium"] <= 1
    assert len(found["slope"]) == 4 and min(found["slope"]) > 0


def test_correlation_tells_a_predictor_from_its_shadow(tmp_path):
    order = {name: place for place, name in enumerate(VARIANTS)}

    def numbers(label, seed):
        error = 0.1 + 0.01 * order[label]
        return {"force_mae": error, FSD: 100 * error + order[label] % 2, "drift": error**3}

    facts = correlation.analyse(load(write_study(tmp_path, numbers), STAGES))
    assert len(facts["variants"]) == len(VARIANTS) >= 20 and facts["trivial"] == []
    drift = facts["correlations"]["drift"]
    assert drift["test_new/forces_mae"]["plain"]["rho"] == pytest.approx(1)
    assert drift[FSD]["plain"]["rho"] > 0.95
    assert drift["test_new/forces_mae"]["partial"] is None
    assert drift["force_jump"]["plain"] is None  # all alike
    noise = drift["jacobian_asymmetry"]["plain"]
    assert noise["low"] < 0 < noise["high"]
    assert "Of the NVE drift, force MAE (new) says most" in correlation.text(facts)


def test_models_that_learnt_nothing_take_no_part(tmp_path):
    """Zero forces conserve energy: with them, what is rough would seem to be stable."""
    said = {"ReLU": {"force_mae": 0.82, FSD: 500.0, "drift": 1e-9}, "radius": {"drift": 5.0, FSD: 90.0}}
    said["diff_knn"] = {"drift": 2.0, FSD: 80.0}
    facts = correlation.analyse(
        load(write_study(tmp_path, lambda label, seed: {"drift": 0.01} | said.get(label, {})), STAGES)
    )
    assert facts["trivial"] == ["ReLU"] and "ReLU" in facts["variants"]
    assert facts["unstable"] == 2 and facts["stable"] == len(VARIANTS) - 3
    assert facts["told_apart"][FSD] == 1
    assert facts["of_all"][FSD]["plain"]["rho"] < facts["correlations"]["drift"][FSD]["plain"]["rho"]
    assert "zero forces): ReLU. Of the others 2 drift" in correlation.text(facts)


def test_a_step_knows_the_noise_of_seeds(tmp_path):
    """Seeds 15 1/Å apart, alike on all scans: 10 lower says nothing, whatever the scans agree on."""
    level = {"baseline": 90.0, "diff_knn": 80.0}

    def numbers(label, seed):
        return {FSD: level.get(label, 40.0) + 15.0 * seed}

    facts = ladder.analyse(load(write_study(tmp_path, numbers), STAGES), BUNDLED)
    verdicts = {one["after"]: one[FSD]["verdict"] for one in facts["steps"]}
    assert verdicts["diff_knn"] == "unclear" and verdicts["temperature"] == "lower"
    (first, *_) = facts["steps"]
    seeds = ttest_ind(*[[level[name] + 15.0 * seed for seed in (1, 2, 3)] for name in ("diff_knn", "baseline")])
    interval = seeds.confidence_interval(0.95)
    assert first[FSD]["low"] == pytest.approx(interval.low, abs=1.5)
    assert first[FSD]["high"] == pytest.approx(interval.high, abs=1.5)


def test_a_jump_that_was_not_looked_for_to_the_end_is_a_bound(tmp_path):
    said = {"baseline": {"force_jump": 2.0, "unfinished": 4}, "smooth_attn": {"unfinished": 1}}
    facts = ladder.analyse(load(write_study(tmp_path, lambda label, seed: said.get(label, {})), STAGES), BUNDLED)
    text = ladder.text(facts)
    assert ">= 2 ± 0" in text
    assert "asked: none: **not known**" in text


def test_a_predictor_tells_stable_variants_from_unstable_ones():
    is_unstable = np.array([False, False, True, True])
    assert correlation.told_apart(np.array([1.0, 2.0, 3.0, 4.0]), is_unstable) == 1
    assert correlation.told_apart(np.array([4.0, 2.0, 3.0, 2.0]), is_unstable) == pytest.approx(1.5 / 4)
    assert correlation.told_apart(np.ones(4), is_unstable) == 0.5
    assert correlation.told_apart(np.ones(4), ~np.zeros(4, dtype=bool)) is None


def test_partial_correlation_is_what_is_left_beyond_accuracy():
    rng = np.random.default_rng(1)
    error, own = rng.random((2, 400))
    target = error + own
    shadow = np.stack([error + 0.3 * rng.random(400), target, error], axis=-1)
    real = np.stack([own, target, error], axis=-1)
    assert abs(correlation.with_interval(shadow)["rho"]) < 0.15
    assert correlation.with_interval(real)["rho"] > 0.9


def test_value_picks_by_accuracy_by_smoothness_and_by_the_rules(tmp_path):
    said = {"ReLU": {"force_mae": 0.05, FSD: 55.0, "drift": 9.0}, "radius": {"force_mae": 0.8, FSD: 1.0}}
    said["equivariant"] = {"force_mae": 0.06, FSD: 20.0}
    facts = value.analyse(load(write_study(tmp_path, lambda label, seed: said.get(label, {})), STAGES))
    picked = {rule: row["variant"] for rule, row in facts["picks"].items()}
    assert picked["force MAE alone"] == "ReLU"
    assert picked["FSD alone"] == "radius"
    assert picked["rule `knee`"] == "equivariant"
    assert picked["no remedy"] == "baseline" and picked["default"] == "smooth_attn"
    assert facts["picks"]["force MAE alone"]["molecules"]["drift"]["mean"] == pytest.approx(9.0)
    assert re.search(r"molecules, lowest first .*: FSD alone 0.1, .*force MAE alone 9\.$", value.text(facts), re.M)


def test_everything_is_written_from_json_alone(tmp_path):
    trainings = write_study(tmp_path / "study", planted)
    records, folder = load(trainings, STAGES), tmp_path / "docs" / "evidence"
    names = ("ladder", "factorial", "coverage", "correlation", "value")
    save(folder / "ladder.json", ladder.analyse(records, BUNDLED))
    for name in names[1:]:
        save(folder / f"{name}.json", evidence.STUDIES[name].analyse(records))
    add_cost(folder, BUNDLED, cost(trainings, records))
    page = evidence.write(folder).read_text()
    assert page.count("\n## ") == len(names)
    assert all((folder / f"{name}.png").stat().st_size > 1000 for name in names)
    assert not re.search(r"\bnan\b", page)
    assert page == evidence.write(folder).read_text()


def test_a_ladder_without_scans_tells_the_rest(tmp_path):
    setting = on_acac(tmp_path)
    trainings = write_study(tmp_path, planted, setting)
    facts = ladder.analyse(load(trainings, setting.stages), setting)
    assert facts["steps"] == [] and FSD not in facts["rows"]["baseline"]
    assert facts["ratios"]["NVE drift"]["ratio"] == pytest.approx(1e-4)
    said = ladder.text(facts)
    assert "NVE drift: 0.0001 of `baseline`, asked: at most 0.001: **yes**" in said
    assert "There is no FSD" in said and "force MAE (frames of another trajectory at 300 K)" in said
    assert set(load(trainings, setting.stages)) == set(LADDER)


def test_settings_take_data_of_their_own(tmp_path):
    assert "data.stride=8" in on_spice(tmp_path).budget
    assert f"data.train={tmp_path}/train_300K.xyz" in on_acac(tmp_path).budget
    assert len(new_molecules()) == 20


@pytest.mark.parametrize("training", plan(Path("out"), BUNDLED, 1, []), ids=lambda training: training.label)
def test_every_variant_is_a_configuration_that_exists(training, tmp_path):
    config = tiny_run.compose(training.overrides, tmp_path)
    check_arguments(config)
    assert (
        config.callbacks.bsct.every_n_epochs == config.callbacks.probe.every_n_epochs == config.trainer.max_epochs
    )


def test_seeds_come_one_after_the_other_and_the_ladder_is_part_of_the_factorial(tmp_path):
    trainings = plan(tmp_path, BUNDLED, N_SEEDS, ["trainer.max_epochs=1"])
    assert [one.seed for one in trainings] == sorted(one.seed for one in trainings)
    assert len(trainings) == N_SEEDS * len(SEEDED) + len(VARIANTS) - len(SEEDED)
    assert len({one.folder for one in trainings}) == len(trainings)
    assert set(CELLS.values()) & set(LADDER) == {"baseline", "diff_knn", "temperature"}
    assert len(CELLS) == 2 ** len(FACTORS)


def test_the_instruments_measure_a_run_once(tmp_path, monkeypatch):
    tiny_run.run([*tiny_run.inputs(), "model=smooth_attn", "logger=none"], tmp_path)
    monkeypatch.setattr(measuring, "PROTOCOL", Protocol(steps=10, relax_steps=2))
    measuring.measure_run(tmp_path, new_molecules())
    found = measuring.known(tmp_path)
    assert set(found) == set(measuring.INSTRUMENTS)
    assert found["probe"]["force_jump"] == 0
    assert found["derivatives"]["jacobian_asymmetry"] < 1e-4
    assert found["derivatives"]["hessian_norm"] > 0.1
    assert found["dynamics"]["trajectories"] == len(new_molecules()) / 2 == 10
    assert len(scans(tmp_path, STAGES)[FSD]) == len(scans(tmp_path, STAGES)[f"zero_{FSD}"]) == 7
    before = (tmp_path / RECORD).read_bytes()
    measuring.measure_run(tmp_path, new_molecules())
    assert (tmp_path / RECORD).read_bytes() == before


def test_a_trajectory_that_ends_early_counts_as_the_worst():
    protocol = Protocol(steps=1000)  # 0.5 ps
    ended, good = {"drift": None, "fluctuation": None}, {"drift": -0.2, "fluctuation": 0.1}
    worst = {"drift": 2000.0, "fluctuation": 1000.0, "largest_drift": 2000.0}
    assert measuring.conserved([ended, good, ended], protocol) == worst
    assert measuring.conserved([good, good, ended], protocol) == worst | {"drift": 0.2, "fluctuation": 0.1}
    assert measuring.conserved([good, good], protocol)["largest_drift"] == 0.2


def test_crystals_are_what_they_are_called():
    found = value.crystals()
    assert {name: len(one.numbers) for name, one in found.items()} == {
        "diamond": 64,
        "dry ice": 24,
        "solid nitrogen": 16,
    }
    for name, bond, count in (("diamond", 1.545, 128), ("dry ice", 1.16, 16), ("solid nitrogen", 1.097, 8)):
        one = found[name]
        distances = neighbor_list("d", as_atoms(one), 1.7)
        assert np.sort(distances)[: 2 * count] == pytest.approx(bond, abs=0.01), name
        assert len(distances) == 2 * count, name


def as_atoms(structure) -> ase.Atoms:
    """As ASE has it."""
    return ase.Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)
