"""Which runs are seeds of one variant: those of one composed configuration, however it was written."""

from pathlib import Path

import pytest
import tiny_run
from omegaconf import OmegaConf
from run_records import write_record

from mlip_design.selection import compare, load_runs


def write_run(folder: Path, overrides: list[str], x: float = 0.1, seed: int = 1) -> Path:
    """A record with the config.yaml that these overrides compose."""
    write_record(folder, overrides, x, seed=seed)
    config = tiny_run.compose([*overrides, f"seed={seed}"], folder)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config))
    return folder


def variants(folder: Path) -> dict[str, list[int]]:
    """Label -> seeds."""
    runs, _ = load_runs([folder])
    return {variant.label: [run.seed for run in variant.runs] for variant in compare(runs).variants}


def test_a_default_is_the_same_written_or_not(tmp_path):
    write_run(tmp_path / "0", [], seed=1)
    write_run(tmp_path / "1", ["model=smooth_attn"], seed=2)
    write_run(tmp_path / "2", ["model/attention=smooth", "model.attention.tau=2"], seed=3)
    write_run(tmp_path / "3", ["model=baseline"], 0.2)
    write_run(tmp_path / "4", ["model.attention.tau=4"], 0.3)
    assert variants(tmp_path) == {
        "model=unset attention=smooth tau=2": [1, 2, 3],
        "model=baseline attention=unset tau=unset": [1],
        "model=unset attention=unset tau=4": [1],
    }


def test_what_says_how_a_run_was_made_is_no_other_variant(tmp_path):
    write_run(tmp_path / "0", ["sweep=pareto", "callbacks.trial.factor=3", "hydra.sweeper.n_trials=3"], seed=1)
    write_run(tmp_path / "1", ["threads=1", "callbacks.bsct.n_worst=0", "objectives=[val/forces_mae]"], seed=2)
    write_run(tmp_path / "2", [], seed=3)
    assert variants(tmp_path) == {"the only variant": [1, 2, 3]}


def test_runs_of_other_defaults_are_not_seeds_of_one_variant(tmp_path):
    """The same words, but the YAML files have changed between the two runs."""
    write_run(tmp_path / "0", ["model=baseline"], seed=1)
    config = write_run(tmp_path / "1", ["model=baseline"], 0.2, seed=2) / "config.yaml"
    config.write_text(config.read_text().replace("weight_decay: 0.01", "weight_decay: 0.001"))
    assert variants(tmp_path) == {"weight_decay=0.01": [1], "weight_decay=0.001": [2]}
    again = load_runs([write_run(tmp_path / "again", ["model=baseline"], seed=3)])[0]
    known = compare(load_runs([tmp_path / "0", tmp_path / "1"])[0]).variants
    assert [variant.label for variant in compare(again, known=known).variants] == ["weight_decay=0.01"]


def test_a_variant_that_is_trained_again_is_known_by_its_label(tmp_path):
    """By what its command composes, also where another run of it was written in more words."""
    write_run(tmp_path / "a" / "0", ["sweep=pareto"], seed=1)
    write_run(tmp_path / "a" / "1", ["sweep=pareto", "model=smooth_attn"], seed=2)
    write_run(tmp_path / "a" / "2", ["sweep=pareto", "model=baseline"], 0.2)
    before = compare(load_runs([tmp_path / "a"])[0]).variants
    for i, variant in enumerate(before):
        write_run(tmp_path / "b" / str(i), variant.overrides, 0.1 + i / 10, seed=7)
    write_run(tmp_path / "b" / "9", [], 0.1, seed=8)
    after = compare(load_runs([tmp_path / "b"])[0], known=before).variants
    assert [variant.label for variant in before] == ["model=smooth_attn", "model=baseline"]
    assert [(variant.label, len(variant.runs)) for variant in after] == [
        ("model=smooth_attn", 2),
        ("model=baseline", 1),
    ]


@pytest.mark.parametrize("content", ["seed: [7", "7", None])
def test_without_a_configuration_that_can_be_read_the_overrides_decide(tmp_path, content):
    for i, seed in enumerate((1, 2)):
        folder = write_run(tmp_path / str(i), ["model=baseline"], seed=seed)
        (folder / "config.yaml").write_text(content) if content else (folder / "config.yaml").unlink()
    assert variants(tmp_path) == {"the only variant": [1, 2]}
