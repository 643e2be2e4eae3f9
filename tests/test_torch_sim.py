"""The torch-sim model: the numbers of the ASE calculator, torch-sim's own checks, dynamics of several systems."""

# ruff: noqa: E402 (torch-sim may be missing)

import sys

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from checkpoints import methanol, saved
from conftest import BASE_MODEL, MODELS, build

ts = pytest.importorskip("torch_sim", reason="torch-sim is not installed")

from torch_sim.models.interface import validate_model_outputs

from mlip_design.calculator import MLIPCalculator
from mlip_design.cli import main
from mlip_design.potential import Statistics, UnknownElementError
from mlip_design.structures import StructureError
from mlip_design.torch_sim import TorchSimModel

CPU = torch.device("cpu")
EXACT = 1e-10  # eV, eV/Å, eV/Å^3: differences by nothing but the order of sums


def crystals() -> list[ase.Atoms]:
    """Three of different sizes and cells."""
    salt, copper = bulk("NaCl", "rocksalt", a=5.6), bulk("Cu", "fcc", a=3.7, cubic=True)
    skewed = copper.copy()
    skewed.set_cell(skewed.cell[:] @ [[1, 0.2, 0], [0, 1, 0.1], [0, 0, 1]], scale_atoms=True)
    for atoms in (salt, copper, skewed):
        atoms.rattle(0.1, seed=2)
    return [salt, copper, skewed]


def molecules() -> list[ase.Atoms]:
    """Three of different sizes, one a single atom."""
    return [methanol(), molecule("H2O"), ase.Atoms("H")]


def state_of(systems: list[ase.Atoms], dtype: torch.dtype = torch.float64) -> ts.SimState:
    """All systems as one state."""
    return ts.io.atoms_to_state(systems, CPU, dtype)


@pytest.mark.parametrize("systems", [molecules, crystals])
@pytest.mark.parametrize("model", MODELS)
def test_values_are_those_of_the_calculator(model, systems):
    potential = build(f"model={model}")
    output = TorchSimModel(potential)(state_of(systems()))
    forces = output["forces"].split([len(atoms) for atoms in systems()])
    for index, atoms in enumerate(systems()):
        atoms.calc = MLIPCalculator(potential)
        assert abs(output["energy"][index].item() - atoms.get_potential_energy()) < EXACT
        assert np.abs(forces[index].numpy() - atoms.get_forces()).max() < EXACT
        if atoms.pbc.all() and potential.has_stress:
            assert np.abs(output["stress"][index].numpy() - atoms.get_stress(voigt=False)).max() < EXACT
        elif potential.has_stress:
            assert output["stress"][index].isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("model", [BASE_MODEL, "equivariant"])
def test_torch_sims_own_checks_pass(model, dtype):
    potential = build(f"model={model}").double()
    potential.calibrate(Statistics({14: -1.0, 26: -2.0}, force_rms=1.0))
    validate_model_outputs(TorchSimModel(potential.to(dtype)), CPU, dtype)


def test_torch_sims_own_checks_catch_what_is_wrong():
    potential = build(f"model={BASE_MODEL}")
    potential.calibrate(Statistics({14: -1.0, 26: -2.0}, force_rms=1.0))

    class Mutating(TorchSimModel):
        def forward(self, state):
            state.positions += 0.1
            return super().forward(state)

    with pytest.raises(ValueError, match="positions"):
        validate_model_outputs(Mutating(potential), CPU, torch.float64)


def test_a_state_may_be_a_mapping():
    model, state = TorchSimModel(build(f"model={BASE_MODEL}")), state_of(crystals())
    mapping = {name: getattr(state, name) for name in ("positions", "cell", "pbc", "atomic_numbers", "system_idx")}
    assert torch.equal(model(mapping)["forces"], model(state)["forces"])


def test_dynamics_of_several_molecules_conserve_each_energy():
    """And are those of the model without a skin; the drift falls with the square of the time step."""
    potential = build(f"model={BASE_MODEL}")
    systems = [methanol(), molecule("H2O"), molecule("C2H6")]
    drifts, ends = {}, {}
    for skin, femtoseconds in ((0.5, 0.4), (0.0, 0.4), (0.5, 0.2)):
        model, energies = TorchSimModel(potential, skin=skin), []
        start, update = ts.nve(
            model=model, dt=step(femtoseconds), kT=torch.tensor(0.025, dtype=torch.float64), seed=1
        )
        state = start(state_of(systems))
        for _ in range(round(8 / femtoseconds)):
            state = update(state)
            energies.append(state.energy + kinetic(state))
        drifts[skin, femtoseconds] = (torch.stack(energies) - energies[0]).abs().amax(0)
        ends[skin, femtoseconds] = state.positions
        assert all(pairs.n_searches < 10 for pairs in model.pair_lists) or not skin
    assert (drifts[0.5, 0.2] < 0.35 * drifts[0.5, 0.4]).all() and drifts[0.5, 0.2].shape == (3,)
    assert (ends[0.5, 0.4] - ends[0.0, 0.4]).abs().max() < 1e-9


def step(femtoseconds: float) -> torch.Tensor:
    """A time step in the units of torch-sim."""
    from torch_sim.units import UnitSystem

    return torch.tensor(femtoseconds * 1e-3 * UnitSystem.metal.time, dtype=torch.float64)


def kinetic(state) -> torch.Tensor:
    """(n_systems,), eV."""
    of_atom = (state.momenta**2).sum(1) / (2 * state.masses)
    return torch.zeros(state.n_systems, dtype=of_atom.dtype).index_add(0, state.system_idx, of_atom)


def test_a_step_is_that_of_ase():
    from ase import units
    from ase.md.verlet import VelocityVerlet

    potential, atoms = build(f"model={BASE_MODEL}"), methanol()
    start, update = ts.nve(
        model=TorchSimModel(potential), dt=step(0.5), kT=torch.tensor(0.025, dtype=torch.float64)
    )
    state = start(state_of([atoms]))
    atoms.set_momenta(state.momenta.numpy())
    for _ in range(5):
        state = update(state)
    atoms.calc = MLIPCalculator(potential)
    VelocityVerlet(atoms, 0.5 * units.fs).run(5)
    assert np.abs(state.positions.numpy() - atoms.positions).max() < 1e-6  # constants of another CODATA year


def test_systems_that_come_and_go_get_their_own_pairs():
    """As with torch-sim's autobatching: another system stands at the same place."""
    model = TorchSimModel(build(f"model={BASE_MODEL}"))
    first, second = molecules(), molecules()[::-1]
    for systems in (first, second, first[:1], [second[1]] * 4):
        fresh = TorchSimModel(model.potential, skin=0.0)(state_of(systems))
        assert (model(state_of(systems))["forces"] - fresh["forces"]).abs().max() < EXACT


def test_checkpoints_and_exported_models(tmp_path):
    checkpoint, exported = saved(tmp_path / "x.ckpt"), tmp_path / "model"
    assert main(["export", str(checkpoint), str(exported)]) == 0
    state = state_of(molecules())
    one, other = (TorchSimModel.from_checkpoint(path)(state) for path in (checkpoint, exported))
    assert torch.equal(one["forces"], other["forces"])
    model = TorchSimModel.from_checkpoint(exported, dtype="float32")
    output = model(state_of(molecules(), torch.float32))
    assert {value.dtype for value in output.values()} == {torch.float32} == {model.dtype}
    assert (output["forces"] - one["forces"]).abs().max() < 1e-3
    with pytest.raises(ValueError, match="dtype: 'float16' is not one of float32, float64"):
        TorchSimModel.from_checkpoint(exported, dtype="float16")


def test_stress_is_computed_where_it_can_be():
    direct = [name for name in MODELS if not build(f"model={name}").has_stress]
    model = TorchSimModel(build(f"model={BASE_MODEL}"), compute_stress=False)
    assert "stress" not in model(state_of(crystals()))
    model.compute_stress = True
    assert model(state_of(crystals()))["stress"].shape == (3, 3, 3)
    potential = build(f"model={direct[0]}") if direct else build(f"model={BASE_MODEL}", readout="direct")
    model = TorchSimModel(potential)
    assert not model.compute_stress and "stress" not in model(state_of(crystals()))
    with pytest.raises(NotImplementedError, match="not conservative"):
        TorchSimModel(potential, compute_stress=True)


def test_impossible_systems_are_named():
    model, broken = TorchSimModel(build(f"model={BASE_MODEL}")), methanol()
    broken.positions[0] = np.nan
    for atoms, error, words in (
        (molecule("PH3"), UnknownElementError, "system 1: element P is unknown to this potential"),
        (broken, StructureError, "system 1: positions must be finite"),
    ):
        with pytest.raises(error, match=words):
            model(state_of([methanol(), atoms]))


def test_without_torch_sim_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_sim.models.interface", None)
    monkeypatch.delitem(sys.modules, "mlip_design.torch_sim")
    with pytest.raises(ImportError, match=r"pip install 'mlip-design\[torch-sim\]'"):
        import mlip_design.torch_sim  # noqa: F401
