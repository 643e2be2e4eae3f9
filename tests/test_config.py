"""Every YAML composes and names what exists; the ladder of models; what the checks of arguments accept."""

import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

import train
from mlip_design.arguments import check_arguments, fits, found_target, in_words, nodes_with_target
from mlip_design.config import config_groups, register_resolvers
from mlip_design.ranges import RANGES, check_ranges

CONF = train.CONFIG_DIR
FILES = sorted(str(path.relative_to(CONF).with_suffix("")) for path in CONF.glob("*/**/*.yaml"))
LADDER = ["baseline", "diff_knn", "temperature", "smooth_attn"]


@pytest.fixture
def composed():
    """A function that composes the configuration under overrides; values that a user must give are "given"."""
    register_resolvers()
    OmegaConf.register_new_resolver("run_dir", lambda: "run", replace=True)
    GlobalHydra.instance().clear()

    def call(*overrides: str) -> DictConfig:
        config = compose("train", [*overrides])
        for key in config.data:
            if OmegaConf.is_missing(config.data, key):
                config.data[key] = "given"
        return config

    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield call
    register_resolvers()


def override_of(file: str) -> str:
    """How the YAML file is chosen on the command line."""
    group, _, name = file.rpartition("/")
    chosen = compose("train", return_hydra_config=True).hydra.runtime.choices
    return f"{'' if group in chosen else '+'}{group}={name}"


@pytest.mark.parametrize("file", FILES)
def test_every_file_composes_and_names_what_exists(composed, file):
    if file == "hydra/launcher/ray_local":
        pytest.importorskip("ray")
    config = composed(override_of(file))
    check_arguments(config)
    for path, node in nodes_with_target(OmegaConf.to_container(config, resolve=True)):
        assert callable(found_target(node["_target_"], path))


def test_every_group_is_there():
    assert {"model", "data", "loss", "optimizer", "trainer", "callbacks", "logger", "experiment"} <= set(
        config_groups()
    )
    blocks = {"model/neighbors", "model/envelope", "model/basis", "model/attention", "model/backbone"}
    assert blocks | {"model/readout"} <= set(config_groups())


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("model/") and file.count("/") == 2])
def test_a_block_has_the_name_of_its_module(file):
    _, group, name = file.split("/")
    target = yaml.safe_load((CONF / f"{file}.yaml").read_text())["_target_"]
    assert target.startswith(f"mlip_design.blocks.{group}.{name}.")


@pytest.mark.parametrize("below, model", pairwise(LADDER))
def test_a_model_is_few_lines_over_the_one_before(composed, below, model):
    text = (CONF / "model" / f"{model}.yaml").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert yaml.safe_load(text)["defaults"][0] == below
    assert len(lines) <= 8
    one, other = (OmegaConf.to_container(composed(f"model={name}").model) for name in (below, model))
    changed = {part for part in one if one[part] != other[part]}
    assert changed
    assert changed <= {"neighbors", "attention", "basis"}


def test_the_ladder_ends_with_all_remedies(composed):
    first, last = composed("model=baseline").model, composed().model
    assert all(first[part] != last[part] for part in ("neighbors", "attention", "basis"))
    assert last == composed("model=smooth_attn").model


def test_every_key_of_the_main_file_says_what_it_is():
    """On its line; keys that only refer to another key, and Hydra's own, need no words."""
    lines = (CONF / "train.yaml").read_text().splitlines()
    start, stop = lines.index("") + 1, lines.index("hydra:")
    keys = [line for line in lines[start:stop] if line and not line.lstrip().startswith("_")]
    silent = [line for line in keys if "#" not in line and not line.endswith(":") and "${" not in line]
    assert len(keys) > 8
    assert not silent


def test_defaults_are_accepted(composed):
    check_arguments(composed())


RANGED = [key for _, keys in RANGES.values() for key in keys]


@pytest.mark.parametrize("key", RANGED)
def test_a_number_out_of_its_range_is_refused(composed, key):
    """A failure for a key that is there no more means that nothing guards the one that took its place."""
    for value in (-1, math.nan):
        config = composed()
        if OmegaConf.select(config, key) is None:
            config = composed("model=equivariant")
        assert isinstance(OmegaConf.select(config, key), int | float)
        OmegaConf.update(config, key, value)
        with pytest.raises(ValueError, match=re.escape(f"{key}: {value} is not ")):
            check_ranges(config)


@pytest.mark.parametrize(
    "value, annotation, expected",
    [
        (3, int, True),
        (3.0, int, False),
        (True, int, False),
        ("3", int, False),
        (3, float, True),
        (True, float, False),
        (1, bool, False),
        (None, int, False),
        (None, int | None, True),
        (None, Optional[int], True),  # noqa: UP045
        (None, None, True),
        ("x", str | float, True),
        (0.1, str | float, True),
        (True, str | float, False),
        ("x", Path, True),
        (3, Path, False),
        ("a", Literal["a", "b"], True),
        ("c", Literal["a", "b"], False),
        (3, Annotated[int, "eV"], True),
        (3, list[int], False),
        ("x", list[int] | str, True),
        ("anything", Any, True),
        (3, "forward", True),
    ],
)
def test_fits(value, annotation, expected):
    assert fits(value, annotation) is expected


def test_in_words():
    assert in_words(int | None) == "a whole number or null"
    assert in_words(Literal["a", "b"]) == "one of a, b"
    assert in_words(Path) == "Path"
