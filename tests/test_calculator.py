"""The ASE calculator and the checkpoints it comes from: the same numbers, and nothing executed that a file names."""

import pickle
from collections import OrderedDict
from pathlib import Path

import ase
import numpy as np
import pytest
import torch
from ase import units
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from conftest import BASE_MODEL, MODELS, STATISTICS, build, predict, small_config

from mlip_design.calculator import MLIPCalculator
from mlip_design.checkpoint import CheckpointError, load_potential
from mlip_design.potential import Potential, UnknownElementError
from mlip_design.structures import StructureError, from_atoms

CHECKPOINT = "checkpoints/best.ckpt"


def contents(model: str = BASE_MODEL, dtype: torch.dtype = torch.float32) -> dict:
    """What training writes, as far as a potential is concerned."""
    state = build(f"model={model}", dtype=dtype).state_dict()
    return {
        "model_config": small_config(f"model={model}"),
        "state_dict": {**{f"potential.{k}": v for k, v in state.items()}, "metrics.val.total": torch.zeros(1)},
        "epoch": 3,
    }


def saved(path: Path, **changes) -> Path:
    """A checkpoint file with parts of it changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(contents() | changes, path)
    return path


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A good checkpoint in a run folder."""
    return saved(tmp_path / CHECKPOINT)


def methanol() -> ase.Atoms:
    """A molecule away from its minimum."""
    atoms = molecule("CH3OH")
    atoms.rattle(0.05, seed=2)
    return atoms


def copper() -> ase.Atoms:
    """A rattled crystal."""
    atoms = bulk("Cu", "fcc", a=3.7, cubic=True)
    atoms.rattle(0.1, seed=2)
    return atoms


# Values


def test_values_are_those_of_the_potential(potential):
    for atoms in (methanol(), copper()):
        atoms.calc = MLIPCalculator(potential)
        prediction = predict(potential, from_atoms(atoms), stress=True)
        assert atoms.get_potential_energy() == prediction.energy.item()
        assert np.array_equal(atoms.get_potential_energies(), prediction.energies.numpy())
        assert np.array_equal(atoms.get_forces(), prediction.forces.numpy())
        assert atoms.get_potential_energy(force_consistent=True) == prediction.energy.item()
        if atoms.pbc.all():
            assert np.allclose(atoms.get_stress(voigt=False), prediction.stress[0].numpy(), rtol=0, atol=1e-13)


def test_signs_and_units_are_those_of_ase():
    atoms = copper()
    atoms.calc = MLIPCalculator(build(f"model={BASE_MODEL}"))
    assert np.abs(atoms.get_forces() - calculate_numerical_forces(atoms, eps=1e-4)).max() < 1e-6
    assert np.abs(atoms.get_stress() - calculate_numerical_stress(atoms, eps=1e-5)).max() < 1e-6


def test_no_stress_without_a_periodic_cell():
    for atoms in (methanol(), ase.Atoms("H", cell=[3, 3, 0], pbc=(True, True, False))):
        atoms.calc = MLIPCalculator(build(f"model={BASE_MODEL}"))
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_stress()


def test_results_follow_the_atoms():
    atoms = methanol()
    atoms.calc = MLIPCalculator(build(f"model={BASE_MODEL}"))
    before = atoms.get_potential_energy()
    atoms.positions[0] += 0.1
    assert atoms.get_potential_energy() != before


def test_impossible_inputs_are_refused_in_one_line():
    unknown, broken = molecule("PH3"), methanol()
    broken.positions[0] = np.nan
    for atoms, error, words in (
        (unknown, UnknownElementError, "element P is unknown to this potential (it knows H, C, N, O"),
        (broken, StructureError, "positions must be finite"),
        (ase.Atoms(), StructureError, "has no atoms"),
    ):
        atoms.calc = MLIPCalculator(build(f"model={BASE_MODEL}"))
        with pytest.raises(error) as caught:
            atoms.get_potential_energy()
        assert words in str(caught.value) and "\n" not in str(caught.value)


# In use


def test_relaxation_goes_downhill():
    atoms = methanol()
    atoms.calc = MLIPCalculator(build(f"model={BASE_MODEL}"))
    before = atoms.get_potential_energy(), np.abs(atoms.get_forces()).max()
    BFGS(atoms, logfile=None, maxstep=0.05).run(fmax=0.01, steps=15)
    assert atoms.get_potential_energy() < before[0] and np.abs(atoms.get_forces()).max() < before[1]


def drift(time_step: float) -> float:
    """Largest departure of the total energy (eV) within 4 fs of dynamics with a time step in fs."""
    atoms = methanol()
    atoms.calc = MLIPCalculator(build(f"model={BASE_MODEL}"))
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(1))
    start, energies = atoms.get_total_energy(), []
    dynamics = VelocityVerlet(atoms, time_step * units.fs)
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()))
    dynamics.run(round(4 / time_step))
    return np.abs(np.array(energies) - start).max()


def test_dynamics_conserve_energy_with_the_order_of_the_integrator():
    coarse, fine = drift(0.4), drift(0.2)
    assert fine < 0.35 * coarse  # a quarter, for a conservative force and velocity Verlet


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
    with pytest.raises(ValueError, match=f"dtype '{dtype}' is not one of float32, float64"):
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
