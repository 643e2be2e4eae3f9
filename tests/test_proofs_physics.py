"""Every model YAML obeys every law of physics; one that is wrong on purpose is caught by the laws that it breaks."""

import pytest
import torch
from conftest import build, ethanol, skewed
from proofs import EXACT, PROOFS, batch_error, broken, owed, rotation_error, supercell_error
from torch import nn


@pytest.mark.parametrize("law", PROOFS)
def test_law(potential, law, record_property):
    proof = PROOFS[law]
    error = proof.error(potential)
    record_property("error", float(error))
    assert error < proof.tolerance or law not in owed(potential)


def test_batch_equals_single_with_every_block(block_potential):
    assert batch_error(block_potential) < EXACT


def test_absolute_directions_break_rotation_and_nothing_else():
    potential = build("model=smooth_attn", "model.backbone.directions=2")
    assert not potential.equivariant and rotation_error(potential, ethanol()) > 1e-3
    assert broken(potential) == {"rotation", "reflection"}


@pytest.mark.parametrize("model", ["smooth_attn", "equivariant", "invariant"])
def test_direct_forces_break_conservation_and_nothing_else(model):
    laws = {"forces = -gradient", "stress = strain derivative", "no net force"}
    assert broken(build(f"model={model}", "model/readout=direct")) == laws


def test_kinks_are_caught():
    assert broken(build("model=relu")) == DIFFERENCES


def test_supercell_of_a_cell_smaller_than_its_bonds_exactly_where_continuous(potential):
    """An atom's images at S and -S tie. Sorting breaks ties as it likes, differently in cell and supercell."""
    error = supercell_error(potential, skewed(), (3, 1, 1))
    assert error < EXACT if potential.neighbors.continuity_order >= 0 else error > EXACT


# Wrong on purpose


class Around(nn.Module):
    """A block around another, which it has all the attributes of."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.block = block

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.block, name)


class SeesTheBatch(Around):
    """A readout that looks at the mean over all atoms of the batch."""

    def forward(self, features):
        return self.block(features - 0.1 * features.mean(0))


class CountsAtoms(Around):
    """A readout that depends on the order of atoms."""

    def forward(self, features):
        return self.block(features) * (1 + 1e-3 * torch.arange(len(features)))


class HidesItsDerivative(Around):
    """Radial features that are constant as far as autograd knows."""

    def forward(self, distance):
        return self.block(distance.detach())


class HidesItsSecondDerivative(Around):
    """Radial features whose derivative is constant as far as autograd knows."""

    def forward(self, distance):
        detached = distance.detach().requires_grad_(True)
        with torch.enable_grad():
            values = self.block(detached)
            slopes = [torch.autograd.grad(v.sum(), detached, retain_graph=True)[0] for v in values.unbind(1)]
        change = distance - distance.detach()
        return values.detach() + torch.stack(slopes, dim=1).detach() * change[:, None]


class KnowsUp(Around):
    """A backbone that is told which way is up."""

    def forward(self, numbers, edges):
        height = edges.weight * edges.displacement[:, 2] ** 2
        features = self.block(numbers, edges)
        return features + 0.1 * features.new_zeros(len(numbers)).index_add(0, edges.source, height)[:, None]


class KnowsLeft(Around):
    """A backbone that tells a structure from its mirror image, by a triple product of directions."""

    def forward(self, numbers, edges):
        features = self.block(numbers, edges)
        vectors = [edges.displacement * (edges.weight * edges.distance**power)[:, None] for power in (-1, 0, 1)]
        sums = [features.new_zeros(len(numbers), 3).index_add(0, edges.source, vector) for vector in vectors]
        return features + 0.1 * torch.linalg.cross(*sums[:2]).mul(sums[2]).sum(1, keepdim=True)


DIFFERENCES = {"forces = -gradient", "stress = strain derivative"}
"""Broken as well by what depends on the batch, since displaced structures are evaluated in one."""
WRONG = {
    SeesTheBatch: ("readout", {"batch = single", "atoms alone"} | DIFFERENCES),
    CountsAtoms: (
        "readout",
        {"permutation", "batch = single", "two copies = twice one", "supercell = cell"} | DIFFERENCES,
    ),
    HidesItsDerivative: ("basis", {"second derivatives"} | DIFFERENCES),
    HidesItsSecondDerivative: ("basis", {"second derivatives"}),
    KnowsUp: ("backbone", {"rotation", "reflection"}),
    KnowsLeft: ("backbone", {"reflection"}),
}


@pytest.mark.parametrize("model", ["smooth_attn", "equivariant"])
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_what_is_wrong_on_purpose_breaks_the_laws_that_it_should(wrong, model):
    potential = build(f"model={model}")
    name, laws = WRONG[wrong]
    setattr(potential, name, wrong(getattr(potential, name)))
    assert broken(potential) == laws
