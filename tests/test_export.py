"""Exported models: the same potential for everybody, and files of others that can make nobody run anything."""

import ast
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
import yaml
from ase.io import write
from checkpoints import contents, methanol, saved
from conftest import BASE_MODEL, ROOT, build, small_config
from run_records import write_record
from safetensors.torch import load_file, save_file
from test_checkpoint import Payload

from mlip_design.calculator import MLIPCalculator
from mlip_design.checkpoint import CheckpointError, load_potential
from mlip_design.cli import main
from mlip_design.evaluator import open_evaluator
from mlip_design.structures import from_atoms

CHECKPOINT = "checkpoints/best.ckpt"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """A run with a record and a checkpoint."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    best = {"epoch": 1, "monitor": "val/forces_mae", "train/loss": 0.5, "val/forces_mae": 0.21}
    write_record(folder, ["model=smooth_attn", "data.root=/folder/of/mine/scans"], x=0.3, y=None, best=best)
    saved(folder / CHECKPOINT)
    return folder


@pytest.fixture(scope="module")
def original(run_folder) -> Path:
    """The run, exported; nobody changes it."""
    folder = run_folder.with_name("exported")
    assert main(["export", str(run_folder), str(folder)]) == 0
    return folder


@pytest.fixture
def exported(original, tmp_path) -> Path:
    """An exported model to change."""
    return shutil.copytree(original, tmp_path / "model")


def described(folder: Path) -> dict:
    """What stands in its YAML."""
    return yaml.safe_load((folder / "model.yaml").read_text())


def rewrite(folder: Path, **changes) -> Path:
    """Change what stands in its YAML."""
    (folder / "model.yaml").write_text(yaml.safe_dump(described(folder) | changes))
    return folder


def refusal(folder: Path, **arguments) -> str:
    """The one line with which a folder is refused by everything that takes a model."""
    messages = set()
    for load in (load_potential, MLIPCalculator.from_checkpoint, lambda path: open_evaluator(str(path))):
        with pytest.raises(CheckpointError) as caught:
            load(folder, **arguments)
        messages.add(str(caught.value))
    (message,) = messages
    assert str(folder) in message and "\n" not in message
    return message


# The same potential


def test_it_predicts_what_the_run_predicts_wherever_a_model_is_taken(run_folder, original):
    atoms = methanol()
    before = MLIPCalculator.from_checkpoint(run_folder)
    for path in (original, original / "model.yaml", original / "model.safetensors"):
        after = MLIPCalculator.from_checkpoint(path)
        assert np.array_equal(after.get_forces(atoms), before.get_forces(atoms))
        assert after.get_potential_energy(atoms) == before.get_potential_energy(atoms)
    predicted = open_evaluator(str(original))([from_atoms(atoms)])
    assert np.array_equal(predicted.forces[0], before.get_forces(atoms))
    assert load_potential(original).dtype == torch.float32


@pytest.mark.parametrize("name", ["equivariant", "baseline"])
def test_every_tensor_survives(tmp_path, name):
    torch.save(contents(name, torch.float64), tmp_path / "x.ckpt")
    assert main(["export", str(tmp_path / "x.ckpt"), str(tmp_path / "model")]) == 0
    before, after = (load_potential(tmp_path / part).state_dict() for part in ("x.ckpt", "model"))
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert value.dtype == after[key].dtype and torch.equal(value.nan_to_num(7.0), after[key].nan_to_num(7.0))


def test_it_says_what_it_is(run_folder, original, tmp_path, capsys):
    said = described(original)
    assert said["elements"] == ["H", "C", "N", "O", "Na", "Cl", "Cu", "Au"]
    assert said["reference_energies"]["C"] == pytest.approx(-3.1 - 0.37 * 6)
    assert (said["cutoff"], said["precision"], said["has_stress"]) == (6.0, "float32", True)
    assert said["parameters"] == sum(p.numel() for p in load_potential(run_folder).parameters())
    assert said["training"]["overrides"] == ["model=smooth_attn", "data.root=scans", "seed=1"]
    assert said["metrics"]["val/forces_mae"] == 0.21 and said["metrics"]["test/forces_mae"] == pytest.approx(0.33)
    assert all(name.startswith(("val", "test")) for name in said["metrics"])
    assert said["model"] == contents()["model_config"]
    assert {"mlip-design", "torch"} <= said["versions"].keys()
    assert sorted(path.name for path in original.iterdir()) == ["model.safetensors", "model.yaml"]
    assert main(["export", str(run_folder), str(tmp_path / "new"), "--json", str(tmp_path / "new.json")]) == 0
    assert "float32, cutoff 6 Å: H C N O Na Cl Cu Au" in capsys.readouterr().out
    assert (tmp_path / "new.json").exists()


def test_its_fingerprint_is_that_of_its_content(original, exported):
    first = open_evaluator(str(original)).fingerprint
    assert open_evaluator(str(exported)).fingerprint == first
    state = load_file(exported / "model.safetensors")
    state["scale"] = state["scale"] * 1.01
    save_file(state, exported / "model.safetensors")
    assert open_evaluator(str(exported)).fingerprint != first


@pytest.mark.parametrize(
    ("source", "destination", "message"),
    [
        ("run", "taken", "taken: exists already; choose another name"),
        ("exported", "new", "exported: is an exported model; copy the folder"),
        ("missing", "new", "missing: no such checkpoint"),
    ],
)
def test_nothing_is_written_where_it_cannot_be(
    run_folder, original, tmp_path, capsys, source, destination, message
):
    (tmp_path / "taken").mkdir()
    assert main(["export", str(run_folder.with_name(source)), str(tmp_path / destination)]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"] and not any((tmp_path / "taken").iterdir())


def test_an_export_that_was_killed_is_made_again(run_folder, tmp_path):
    (tmp_path / ".model.partial").mkdir()
    (tmp_path / ".model.partial" / "model.safetensors").write_bytes(b"half")
    assert main(["export", str(run_folder), str(tmp_path / "model")]) == 0
    assert load_potential(tmp_path / "model") and [path.name for path in tmp_path.iterdir()] == ["model"]


# Files that are damaged or do not fit


def test_tensors_that_do_not_fit_are_named(exported):
    good = load_file(exported / "model.safetensors")
    name = next(key for key, value in good.items() if value.ndim == 2)
    for state, message in (
        ({k: v for k, v in good.items() if k != name}, f"{name} is missing"),
        ({**good, "backdoor": torch.zeros(2)}, "backdoor belongs to no block"),
        ({**good, name: good[name][:-1].clone()}, f"{name} is of shape"),
        ({**good, name: torch.zeros_like(good[name], dtype=torch.int64)}, f"{name} is of type torch.int64"),
        ({}, "it has no weights"),
    ):
        save_file(state, exported / "model.safetensors")
        assert message in refusal(exported)


def test_a_config_of_another_model_does_not_fit(exported):
    rewrite(exported, model=small_config(f"model={BASE_MODEL}", basis="bessel"))
    assert "is of shape" in refusal(exported)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 100])
def test_damaged_weights(exported, content):
    (exported / "model.safetensors").write_bytes(content)
    assert "model.safetensors: cannot be read as safetensors" in refusal(exported)


def test_truncated_weights(exported):
    weights = exported / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "cannot be read as safetensors" in refusal(exported)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no schema and model"),
        ("- 1\n- 2", "holds no schema and model"),
        ("model: {}", "holds no schema and model"),
        ("schema: 99\nmodel: {}", "schema is 99, this version reads 1"),
        ("schema: 1\nmodel: 7", "config and weights make no potential"),
        ("schema: [1", "cannot be read as plain YAML"),
        ("\x00", "cannot be read as plain YAML"),
        ("[" * 1000, "cannot be read as plain YAML"),
    ],
)
def test_damaged_descriptions(exported, text, message):
    (exported / "model.yaml").write_text(text)
    assert message in refusal(exported)


@pytest.mark.parametrize("part", ["model.yaml", "model.safetensors"])
def test_a_missing_half(exported, part):
    (exported / part).unlink()
    with pytest.raises(FileNotFoundError, match=f"{part}: no such file"):
        load_potential(exported)


# What a file must never make us do


TAGS = (
    "python/object/apply:os.system",
    "python/object/new:os.system",
    "python/name:os.system",
    "python/module:os",
)


@pytest.mark.parametrize("tag", TAGS)
def test_tags_of_yaml_run_nothing(exported, tag):
    mark = exported / "executed"
    text = f'schema: 1\nmodel: !!{tag} ["touch {mark}"]\n'
    (exported / "model.yaml").write_text(text)
    assert "could not determine a constructor" in refusal(exported)
    assert not mark.exists()
    if "apply" in tag:
        yaml.unsafe_load(text)
        assert mark.exists(), "the payload works"


def test_a_pickle_in_the_place_of_weights_runs_nothing(exported):
    mark = exported / "executed"
    torch.save({"weights": Payload(mark)}, exported / "model.safetensors")
    assert "cannot be read as safetensors" in refusal(exported)
    assert not mark.exists()
    torch.load((exported / "model.safetensors").rename(exported / "x.ckpt"), weights_only=False)
    assert mark.exists(), "the payload works"


@pytest.mark.parametrize("place", ["model", "block", "list"])
def test_foreign_targets_are_not_called(exported, place):
    mark = exported / "executed"
    node = {"_target_": "os.system", "_args_": [f"touch {mark}"]}
    good = described(exported)["model"]
    places = {"model": node, "block": {**good, "envelope": node}, "list": {**good, "basis": [[{"deep": node}]]}}
    message = refusal(rewrite(exported, model=places[place]))
    assert "refuses to instantiate 'os.system'; only blocks of mlip_design are allowed" in message
    assert "--allow MODULE" in message
    assert not mark.exists()


def test_interpolations_are_not_resolved(exported):
    model = {**described(exported)["model"], "envelope": "${oc.env:HOME}"}
    assert "refuses the interpolation" in refusal(rewrite(exported, model=model))


def test_aliases_cannot_multiply(exported):
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    (exported / "model.yaml").write_text("schema: 1\nmodel: {}\n" + "\n".join(lines))
    assert "refuses aliases" in refusal(exported)


def unsafe(source: str) -> list[str]:
    """Calls and imports of a source that could unpickle, or construct what a YAML tag names."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None), *(alias.name for alias in node.names)]
            found += [name for name in names if name in ("pickle", "dill", "cloudpickle", "joblib")]
        if isinstance(node, ast.Call):
            call = ast.unparse(node)
            loads_safely = "weights_only=True" in call or re.search(r"yaml\.C?SafeLoader", call)
            if re.match(r"(torch|yaml|jit)(\.\w+)*\.\w*load\w*\(", call) and not loads_safely:
                found += [] if call.startswith("yaml.safe_load(") else [call]
            if "allow_pickle=True" in call:
                found.append(call)
    return found


@pytest.mark.parametrize("folder", ["mlip_design", "callbacks", "hydra_plugins"])
def test_the_package_unpickles_nothing_but_tensors(folder):
    for path in [*(ROOT / folder).rglob("*.py"), ROOT / "train.py"]:
        assert not unsafe(path.read_text()), path


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "x = torch.jit.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, yaml.Loader)",
        "yaml.unsafe_load(text)",
        "def f():\n    import pickle",
        "from pickle import loads",
    ],
)
def test_a_way_to_unpickle_is_caught(source):
    assert unsafe(source)


# Blocks of users


BLOCK = """
from pathlib import Path
from mlip_design.blocks.envelope.bump import Bump
Path("{mark}").touch()
class Mine(Bump):
    pass
def factory():
    return Mine()
"""


@pytest.fixture
def foreign(exported, monkeypatch):
    """A model with an envelope of a module of the working directory, and the file that importing it creates."""
    mark = exported / "imported"
    (exported / "my_blocks.py").write_text(BLOCK.format(mark=mark))
    monkeypatch.chdir(exported)
    monkeypatch.syspath_prepend("")
    monkeypatch.delitem(sys.modules, "my_blocks", raising=False)
    model = described(exported)["model"]
    rewrite(exported, model={**model, "envelope": {"_target_": "my_blocks.Mine"}})
    return exported, mark


def test_a_users_own_block_is_loaded_only_where_its_module_is_named(foreign):
    folder, mark = foreign
    assert "refuses to instantiate 'my_blocks.Mine'" in refusal(folder)
    assert not mark.exists()
    calculator = MLIPCalculator.from_checkpoint(folder, allow=["my_blocks"])
    assert type(calculator.potential.envelope).__name__ == "Mine" and mark.exists()
    potential = build(f"model={BASE_MODEL}", dtype=torch.float32).double()
    assert calculator.get_potential_energy(methanol()) == MLIPCalculator(potential).get_potential_energy(
        methanol()
    )
    assert open_evaluator(str(folder), allow=["my_blocks"]).fingerprint


@pytest.mark.parametrize(
    ("target", "allow", "message"),
    [
        ("my_blocks.factory", "my_blocks", "refuses to instantiate"),
        ("my_blocks.Path", "my_blocks", "refuses to instantiate"),
        ("my_blocks.Bump", "my_blocks", "refuses to instantiate"),
        ("my_blocks.Mine", "my_block", "refuses to instantiate"),
        ("my_blocks.Missing", "my_blocks", "'my_blocks.Missing' cannot be imported"),
        ("os.system", "os", "refuses to instantiate"),
        ("torch.hub.load", "torch", "refuses to instantiate"),
    ],
)
def test_a_named_module_opens_no_other_door(foreign, target, allow, message):
    folder, _ = foreign
    rewrite(folder, model={**described(folder)["model"], "envelope": {"_target_": target}})
    with pytest.raises(CheckpointError) as caught:
        load_potential(folder, allow=[allow])
    assert message in str(caught.value)


@pytest.mark.usefixtures("foreign")
def test_a_checkpoint_with_a_users_block_is_exported_where_it_is_named(tmp_path, capsys):
    config = {**contents()["model_config"], "envelope": {"_target_": "my_blocks.Mine"}}
    path = saved(tmp_path / "x.ckpt", model_config=config)
    assert main(["export", str(path), str(tmp_path / "new")]) == 2
    assert "refuses to instantiate 'my_blocks.Mine'" in capsys.readouterr().err
    assert main(["export", str(path), str(tmp_path / "new"), "--allow", "my_blocks"]) == 0
    assert load_potential(tmp_path / "new", allow=["my_blocks"])


def test_every_command_that_takes_a_model_takes_named_blocks(foreign, tmp_path, capsys):
    folder, _ = foreign
    write(tmp_path / "methanol.xyz", methanol())
    path = str(tmp_path / "methanol.xyz")
    scans = tiny_run.write_scans(tiny_run.few_scans(count=1, step=25), tmp_path / "scans")
    for words in (
        ["eval", str(folder), path, "--out", str(tmp_path / "out")],
        ["probe", str(folder), "--structure", path, "--path", "bond:0,1", "--max-evaluations", "400"],
        ["bsct", str(folder), "--data", str(scans)],
    ):
        assert main(words) == 2
        assert "refuses to instantiate 'my_blocks.Mine'" in capsys.readouterr().err
        assert main([*words, "--allow", "my_blocks"]) in (0, 1)
        assert "refuses" not in capsys.readouterr().err
