"""Direct forces: they turn and fade as they should, are nowhere a derivative, and are found out by `bsct` and `probe`.

Training begins with them and goes on with a gradient: `init_from`.
"""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
import tiny_run
import torch
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError
from conftest import build, crystal, ethanol, leaving, potential_jumps, predict, skewed

from mlip_design.bsct.result import load_result
from mlip_design.calculator import MLIPCalculator
from mlip_design.checkpoint import load_potential
from mlip_design.cli import main
from mlip_design.evaluator import NO_STRESS, PotentialEvaluator
from mlip_design.graph import batch_structures

DIRECT = "model/readout=direct"
MODEL = ["model=invariant", "trainer.max_epochs=1", "callbacks.bsct.n_worst=0"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """The same small model trained with direct forces, and with a gradient."""
    root = tmp_path_factory.mktemp("runs")
    for name, others in {"direct": [DIRECT], "gradient": []}.items():
        tiny_run.run([*tiny_run.inputs(), *MODEL, *others], root / name)
    return {name: root / name for name in ("direct", "gradient")}


@pytest.fixture(scope="module")
def tuned(runs, tmp_path_factory) -> Path:
    """A run with a gradient that starts from the one with direct forces and learns nothing."""
    folder = tmp_path_factory.mktemp("tuned") / "run"
    tiny_run.run([*tiny_run.inputs(), *MODEL, f"init_from={runs['direct']}", "optimizer.lr=0"], folder)
    return folder


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> Path:
    """Two systems, every frame."""
    return tiny_run.write_scans(tiny_run.few_scans(count=2, step=1), tmp_path_factory.mktemp("data") / "scans")


def closure(run: Path, scans: Path, out: Path) -> float:
    """Mean over scans of what the energy and the work of the forces differ by, eV."""
    assert main(["bsct", str(run), "--data", str(scans), "--out", str(out)]) == 0
    return load_result(out).facts["conservation"]["model_mean"]


def asymmetry(run: Path, folder: Path) -> float:
    """Of the Jacobian of the forces at water."""
    ase.io.write(folder / "water.xyz", molecule("H2O"))
    file = folder / "found.json"
    arguments = ["--structure", str(folder / "water.xyz"), "--path", "bond:0,1", "--json", str(file)]
    assert main(["probe", str(run), *arguments]) == 0, "smooth, though not conservative"
    return json.loads(file.read_text())["structures"][0]["symmetry"]["jacobian_asymmetry"]


# What commands find


def test_the_work_of_direct_forces_is_not_the_energy(runs, scans, tmp_path):
    found = {name: closure(run, scans, tmp_path / name) for name, run in runs.items()}
    assert found["direct"] > 0.1 > 100 * found["gradient"], found


def test_their_jacobian_is_not_symmetric(runs, tmp_path):
    assert asymmetry(runs["direct"], tmp_path) > 0.01
    assert asymmetry(runs["gradient"], tmp_path) < 1e-6


# Physics


def test_a_neighbor_that_leaves_takes_its_pull_along():
    potential = build("model=invariant", DIRECT)
    energy, forces = potential_jumps(potential, leaving, (5.85, 6.15))
    assert energy < 1e-7 and forces < 1e-6


def test_two_steps_cost_no_second_derivative():
    """Forces have the graph of one evaluation: nothing was differentiated to get them."""
    potential = build("model=invariant", DIRECT)
    graph = batch_structures([ethanol()], potential.cutoff, potential.dtype)
    potential.backbone.register_full_backward_hook(lambda *_: pytest.fail("something was differentiated"))
    assert potential(graph, create_graph=True).forces.abs().max() > 0


def test_only_what_is_asked_for():
    potential = build("model=invariant", DIRECT)
    graph = batch_structures([ethanol(), crystal()], potential.cutoff, potential.dtype)
    alone = potential(graph, forces=False)
    assert alone.forces is None and alone.stress is None
    assert torch.equal(alone.energy, potential(graph).energy)


# No stress


def test_there_is_no_stress():
    potential = build("model=invariant", DIRECT)
    with pytest.raises(ValueError, match="not conservative has no stress"):
        predict(potential, skewed(), stress=True)
    atoms = ase.Atoms("CO", [[0, 0, 0], [0, 0, 1.2]], cell=[4, 4, 4], pbc=True)
    atoms.calc = MLIPCalculator(potential)
    assert np.isfinite(atoms.get_forces()).all()
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_who_asks_for_stresses_learns_why_there_are_none(runs):
    evaluator = PotentialEvaluator(runs["direct"])
    structure = skewed()
    structure.numbers[:] = [6, 8]
    found = evaluator([structure], stress=True)
    assert not evaluator.has_stress and found.failures == {0: NO_STRESS} and np.isnan(found.stresses).all()
    assert PotentialEvaluator(runs["gradient"])([structure], stress=True).failures == {}


def test_a_loss_on_stress_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"loss\.stress_weight: 0\.5 must be 0 with direct forces"):
        tiny_run.run([*tiny_run.inputs(), *MODEL, DIRECT, "loss.stress_weight=0.5"], tmp_path / "run")


# Direct pre-training, then a gradient


def test_the_gradient_starts_from_the_weights_of_direct_forces(runs, tuned):
    before, after = load_potential(runs["direct"]), load_potential(tuned)
    theirs, ours = before.state_dict(), after.state_dict()
    assert ours.keys() < theirs.keys()
    for key in ours:
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-5, atol=0, equal_nan=True)  # but for averaging
    assert not before.readout.conservative and after.readout.conservative


def test_and_ends_conservative(tuned, tmp_path):
    assert asymmetry(tuned, tmp_path) < 1e-6
