"""Checkpoints: the same potential comes out, and nothing is executed that a file names."""

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import contents, methanol, saved
from conftest import BASE_MODEL, MODELS, STATISTICS, build, predict, small_config

from mlip_design.calculator import MLIPCalculator
from mlip_design.checkpoint import CheckpointError, load_potential
from mlip_design.potential import Potential
from mlip_design.structures import from_atoms

CHECKPOINT = "checkpoints/best.ckpt"


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A good checkpoint in a run folder."""
    return saved(tmp_path / CHECKPOINT)


# Checkpoints


@pytest.mark.parametrize("model", MODELS)
def test_checkpoint_gives_the_same_potential(tmp_path, model):
    torch.save(contents(model, torch.float64), tmp_path / "x.ckpt")
    atoms = methanol()
    atoms.calc = MLIPCalculator.from_checkpoint(tmp_path / "x.ckpt")
    prediction = predict(build(f"model={model}"), from_atoms(atoms))
    assert atoms.get_potential_energy() == prediction.energy.item()
    assert np.array_equal(atoms.get_forces(), prediction.forces.numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64", torch.float32, torch.float64])
def test_dtype_is_the_users(checkpoint, dtype):
    calculator = MLIPCalculator.from_checkpoint(checkpoint, dtype=dtype)
    wanted = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    assert calculator.potential.dtype == wanted
    assert calculator.potential.reference_energies.dtype == torch.float64
    atoms = methanol()
    atoms.calc = calculator
    assert atoms.get_forces().dtype == np.float64
    exact = predict(build(f"model={BASE_MODEL}", dtype=torch.float32).double(), from_atoms(atoms))
    assert atoms.get_potential_energy() == pytest.approx(exact.energy.item(), abs=1e-4)


def test_precision_of_the_file_is_kept_unless_asked(checkpoint):
    assert load_potential(checkpoint).dtype == torch.float32
    assert load_potential(checkpoint).elements == sorted(STATISTICS.reference_energies)
    assert not any(p.requires_grad for p in load_potential(checkpoint).parameters())


def test_run_folder_stands_for_its_best_checkpoint(checkpoint):
    assert isinstance(load_potential(checkpoint.parents[1]), Potential)


@pytest.mark.parametrize("dtype", ["float16", "double", "", "Float64"])
def test_unknown_dtype_is_refused(checkpoint, dtype):
    with pytest.raises(ValueError, match=f"dtype: '{dtype}' is not one of float32, float64"):
        MLIPCalculator.from_checkpoint(checkpoint, dtype=dtype)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        load_potential(tmp_path / "x.ckpt")
    with pytest.raises(FileNotFoundError, match=r"best\.ckpt: no such checkpoint"):
        load_potential(tmp_path)


def refusal(path: Path) -> str:
    """The message with which a checkpoint is refused."""
    with pytest.raises(CheckpointError) as caught:
        load_potential(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"PK\x03\x04broken", pickle.dumps({"model_config": {}}, protocol=2)]
)
def test_files_that_are_no_checkpoints(tmp_path, content):
    (tmp_path / "x.ckpt").write_bytes(content)
    refusal(tmp_path / "x.ckpt")


@pytest.mark.parametrize("value", [{}, [], torch.zeros(3), {"state_dict": {}}])
def test_checkpoints_of_something_else(tmp_path, value):
    torch.save(value, tmp_path / "x.ckpt")
    assert "holds no model_config" in refusal(tmp_path / "x.ckpt")


def test_config_and_weights_that_do_not_fit(tmp_path):
    other = small_config(f"model={BASE_MODEL}", basis="bessel")
    incomplete = dict(list(contents()["state_dict"].items())[1:])
    for changes in (
        {"model_config": other},
        {"state_dict": {}},
        {"state_dict": {"metrics.val.total": torch.zeros(1)}},
        {"state_dict": incomplete},
        {"model_config": {}},
        {"model_config": "text"},
        {"model_config": {"_target_": "mlip_design.blocks.envelope.bump.Bump"}},
        {"model_config": {"_target_": "mlip_design.potential.Potential", "no_such_block": 1}},
    ):
        refusal(saved(tmp_path / "x.ckpt", **changes))


# What a file must never make us do


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_pickled_code_is_not_run(tmp_path):
    mark = tmp_path / "executed"
    torch.save({**contents(), "extra": Payload(mark)}, tmp_path / "x.ckpt")
    (tmp_path / "y.ckpt").write_bytes(pickle.dumps(Payload(mark), protocol=2))
    for name in ("x.ckpt", "y.ckpt"):
        assert "cannot be read as a checkpoint" in refusal(tmp_path / name)
    assert not mark.exists()
    torch.load(tmp_path / "x.ckpt", weights_only=False)
    assert mark.exists(), "the payload works"


def foreign(mark: Path) -> dict:
    """A config node that creates a file when instantiated."""
    return {"_target_": "os.system", "_args_": [f"touch {mark}"]}


HIDING_PLACES = {
    "itself": lambda node: node,
    "argument": lambda node: {"_target_": "mlip_design.potential.Potential", "neighbors": node},
    "list": lambda node: {"_target_": "mlip_design.potential.Potential", "neighbors": [[{"deep": node}]]},
    "tuple": lambda node: {"_target_": "mlip_design.potential.Potential", "neighbors": (node,)},
    "ordered": lambda node: OrderedDict(_target_="mlip_design.potential.Potential", basis=OrderedDict(node)),
    "list of models": lambda node: [node],
    "interpolated target": lambda node: {**node, "_target_": "${name}", "name": "os.system"},
    "interpolation": lambda node: {
        "_target_": "mlip_design.potential.Potential",
        "neighbors": "${oc.create:{_target_:os.system,_args_:[" + node["_args_"][0].replace(" ", "\\ ") + "]}}",
    },
}


@pytest.mark.parametrize("place", HIDING_PLACES)
def test_foreign_target_is_not_called_wherever_it_hides(tmp_path, place):
    mark = tmp_path / "executed"
    refusal(saved(tmp_path / "x.ckpt", model_config=HIDING_PLACES[place](foreign(mark))))
    assert not mark.exists()


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "torch.load",
        "hydra.utils.instantiate",
        "mlip_design.checkpoint.torch.load",
        "mlip_design.checkpoint.load_potential",
        "mlip_design.potential.torch.load",
        "mlip_design.potential.nn",
        "mlip_design.potential.per_volume",
        "mlip_design.blocks.envelope.bump.torch.load",
        "mlip_design.blocks.envelope.bump.nn.Module",
        "mlip_design.blocks.padding.pad",
        "mlip_design.blocks.envelope.missing.Missing",
        "mlip_design.blocks.envelope.bump.Bump.forward",
        "mlip_designer.potential.Potential",
        "",
        7,
        ["os.system"],
    ],
)
def test_only_blocks_of_this_package_are_allowed(tmp_path, target):
    config = contents()["model_config"]
    config["envelope"] = {"_target_": target}
    message = refusal(saved(tmp_path / "x.ckpt", model_config=config))
    assert f"refuses to instantiate {target!r}; only blocks of mlip_design are allowed" in message
