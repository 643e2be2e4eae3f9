"""Compiled training: the same energies, forces, stresses and derivatives by the weights as without, for all sizes."""

from functools import partial

import pytest
import tiny_run
import torch
from conftest import CONF, build, crystal, ethanol, far_atoms, isolated, skewed

from mlip_design.blocks.backbone import mindscaip
from mlip_design.compiled import CompiledPotential
from mlip_design.graph import batch_structures
from mlip_design.potential import Potential, Prediction
from mlip_design.structures import Structure

BACKBONES = sorted(path.stem for path in (CONF / "model" / "backbone").glob("*.yaml"))
BATCHES = [[ethanol(), crystal()], [skewed()], [crystal(), ethanol(), ethanol()]]
SIZES = {"n_features": 16, "n_layers": 1, "l_max": 1}


@pytest.fixture
def traced(monkeypatch) -> list[int]:
    """What `torch.compile` would compile is only traced, in seconds; grows by an item each time."""
    times = []

    def backend(module, inputs):
        from torch._dynamo.backends.debugging import aot_eager

        times.append(1)
        return aot_eager(module, inputs)

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    return times


def trainable(**blocks: str) -> Potential:
    """A small potential."""
    return build(sizes=SIZES, **blocks).train().requires_grad_(True)


def learnt(prediction: Prediction, potential: Potential) -> list[torch.Tensor]:
    """Energies, forces, stresses, and the derivatives of a sum of their squares by all weights."""
    values = [prediction.energy, prediction.energies, prediction.forces]
    if prediction.stress is not None:
        values.append(prediction.stress.nan_to_num())
    loss = sum(value.square().sum() for value in values)
    slopes = torch.autograd.grad(loss, list(potential.parameters()), materialize_grads=True)
    return [*values, *slopes]


def assert_same(compiled: CompiledPotential, structures: list[Structure], stress: bool) -> None:
    """Compare with autograd, to rounding."""
    potential = compiled.potential
    graph = batch_structures(structures, potential.cutoff, potential.dtype)
    found = learnt(compiled(graph, stress), potential)
    expected = learnt(potential(graph, stress=stress, create_graph=True), potential)
    assert expected[2].abs().max() > 0.01
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * float(other.detach().abs().max() + 1))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_predictions_and_their_derivatives_are_those_of_autograd(backbone, traced):
    compiled = CompiledPotential(trainable(backbone=backbone))
    first, *others = BATCHES
    assert_same(compiled, first, stress=True)
    n_traced = len(traced)
    for structures in others:
        assert_same(compiled, structures, stress=True)
    assert len(traced) == n_traced > 0, "compiled again for another size"


def test_atoms_without_neighbours_need_no_compiling(traced):
    compiled = CompiledPotential(trainable())
    for structure in (isolated(), far_atoms()):
        graph = batch_structures([structure], compiled.potential.cutoff, torch.float64)
        expected = compiled.potential(graph, create_graph=True)
        torch.testing.assert_close(compiled.predict(graph).energies, expected.energies, rtol=0, atol=0)
    assert not traced


def test_a_block_whose_second_derivatives_get_lost_is_found_out(traced, monkeypatch):
    monkeypatch.setattr(mindscaip, "permute", mindscaip.Permute.apply)
    compiled = CompiledPotential(trainable(backbone="mindscaip"))
    alone, together = (
        batch_structures(some, compiled.potential.cutoff, torch.float64) for some in ([isolated()], BATCHES[0])
    )
    compiled(alone)
    with pytest.raises(RuntimeError, match=r"off by .*%; does a block use torch\.autograd\.Function"):
        compiled(together)


def test_what_cannot_be_compiled_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="not for model/readout=direct"):
        CompiledPotential(trainable(readout="direct"))
    potential = trainable()
    potential.envelope.exponent = torch.nn.Parameter(torch.ones(()))
    with pytest.raises(ValueError, match=r"takes no model\.envelope with weights to train"):
        CompiledPotential(potential)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match=r"needs a C\+\+ compiler, and 'no-such-compiler' is not found"):
        CompiledPotential(trainable())


def test_a_compiled_run_learns_what_one_without_does(tmp_path, monkeypatch):
    steps = []
    predict = CompiledPotential.predict
    monkeypatch.setattr(CompiledPotential, "predict", lambda *given: steps.append(given) or predict(*given))
    runs, n_steps = {}, {}
    for choice in ("true", "false"):
        settings = ["model=invariant", "trainer.max_epochs=2", f"compile={choice}"]
        runs[choice] = tiny_run.run([*tiny_run.inputs(), *settings], tmp_path / choice).as_dict()
        n_steps[choice] = len(steps)
    assert n_steps["true"] == n_steps["false"] == 1 + 2 * 3  # the check, and two epochs of three batches
    for name in ("train/loss", "val/forces_mae", "val/bsct/full_smoothness"):
        found, expected = (runs[choice]["metrics"][name] for choice in ("true", "false"))
        assert found == pytest.approx(expected, rel=1e-3)
