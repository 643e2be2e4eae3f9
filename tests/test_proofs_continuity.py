"""Every model and block of conf/model has exactly the continuity that it promises; what is flawed fails by name.

A YAML file is all that a new block or model needs to be held to its promise here.
"""

import math
import re

import pytest
import torch
from conftest import BASE_MODEL, BLOCK_IDS, BLOCKS, MODELS, ROOT, build
from continuity import EVENTS, HIGHEST, curvature_along, prove
from e3nn.math import soft_one_hot_linspace
from torch import nn

from mlip_design.blocks.attention.softmax import SoftmaxAttention
from mlip_design.blocks.neighbors.diff_knn import DiffKNN
from mlip_design.potential import Potential

TINY = {"n_features": 16, "n_layers": 1}
OF_BLOCKS = ["rank swap", "cutoff", "boundary"]
OF_MODELS = [*OF_BLOCKS, "shell"]
OF_SELECTIONS = list(EVENTS)
FLAWED_MODELS = {"baseline": -1, "relu": 0}
"""Model of conf/model -> the order that it has."""
FLAWED_BLOCKS = {
    ("envelope", "none"): -1,
    ("envelope", "cosine"): 1,
    ("neighbors", "hard_knn"): -1,
    ("activation", "relu"): 0,
}


def model(name: str) -> Potential:
    """A model of conf/model, tiny, with the bases that its file has."""
    return build(f"model={name}", sizes=TINY)


def with_block(group: str, name: str) -> Potential:
    """The default model, tiny, with one block exchanged."""
    return build(f"model={BASE_MODEL}", sizes=TINY, **{group: name})


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_exactly_the_order_that_it_promises(name):
    potential = model(name)
    orders = prove(name, potential, OF_MODELS)
    assert min(orders.values()) == min(potential.continuity_order, HIGHEST)
    assert potential.continuity_order == FLAWED_MODELS.get(name, math.inf)


@pytest.mark.parametrize(("group", "name"), BLOCKS, ids=BLOCK_IDS)
def test_every_block_has_exactly_the_order_that_it_promises(group, name):
    potential = with_block(group, name)
    orders = prove(f"{group}={name}", potential, OF_SELECTIONS if group == "neighbors" else OF_BLOCKS)
    assert min(orders.values()) == min(potential.continuity_order, HIGHEST)


@pytest.mark.parametrize(("group", "name"), BLOCKS, ids=BLOCK_IDS)
def test_second_derivatives_are_finite_at_every_event(group, name):
    potential = with_block(group, name)
    for event in EVENTS.values():
        curvature = curvature_along(potential, event)
        assert curvature.isfinite().all() and curvature.abs().max() > 1e-3


def test_the_page_of_blocks_says_what_they_promise():
    """Its tables are written by benchmarks/blocks.py; a block that is not there yet is no mistake."""
    page = (ROOT / "docs" / "blocks.md").read_text()
    listed = 0
    for group, table in re.findall(r"<!-- (\w+) -->\n(.*?)<!-- end -->", page, re.DOTALL):
        for name, promised in re.findall(r"^\| `(\w+)` .*\| (\S+) \| [^|]* \| [^|]* \|$", table, re.MULTILINE):
            assert float(promised.replace("∞", "inf")) == with_block(group, name).continuity_order
            listed += 1
    assert listed > 30


# Wrong on purpose


@pytest.mark.parametrize("name", FLAWED_MODELS)
def test_flawed_models_fail_by_name_if_they_claim_smoothness(name):
    with pytest.raises(
        AssertionError, match=f"{name} should have order inf, but has at rank swap: {FLAWED_MODELS[name]}"
    ):
        prove(name, model(name), ["rank swap"], promised=math.inf)


@pytest.mark.parametrize(("group", "name"), FLAWED_BLOCKS)
def test_flawed_blocks_fail_by_name_if_they_claim_smoothness(group, name):
    order = FLAWED_BLOCKS[group, name]
    with pytest.raises(AssertionError, match=f"{group}={name} should have order inf, but has at .*: {order}"):
        prove(f"{group}={name}", with_block(group, name), OF_BLOCKS, promised=math.inf)


class Slope(nn.Module):
    """Wrong on purpose: an envelope that ends with a slope and claims not to."""

    continuity_order = math.inf

    def forward(self, reduced):
        return 1 - reduced, torch.log1p(-reduced)


class Narrow(nn.Module):
    """Wrong on purpose: a basis with the kinks of e3nn's cosines."""

    continuity_order = math.inf
    n_basis = 32

    def forward(self, distance):
        return soft_one_hot_linspace(distance, 0.0, 6.0, self.n_basis, basis="cosine", cutoff=False)


class Deaf(SoftmaxAttention):
    """Wrong on purpose: attention to which a token that fades is as loud as any other."""

    def shares(self, query, key, weight, log_weight, legendre):
        present = torch.where(weight > 0, 0.0, -torch.inf)
        return self.logits(query, key, present, legendre).softmax(dim=-2)


class Bent(nn.Module):
    """Wrong on purpose: an activation without a second derivative at 0."""

    continuity_order = math.inf

    def forward(self, values):
        return torch.where(values > 0, values, torch.expm1(values))


def planted(what: str) -> Potential:
    """The default model with a block that does not hold what it claims."""
    potential = with_block("envelope", "polynomial")
    if what == "envelope":
        potential.envelope = Slope()
    elif what == "neighbors":
        potential.neighbors = DiffKNN(6.0, 12, rank_width=1.0, temperature=0.1, fade=1e-18)
    elif what == "basis":
        potential.basis = Narrow()
    elif what == "attention":
        for layer in potential.backbone.layers:
            layer.by_source.__class__ = layer.by_destination.__class__ = Deaf
    else:
        for network in (module for module in potential.modules() if isinstance(module, nn.Sequential)):
            network[1] = Bent()
    return potential


@pytest.mark.parametrize(
    ("what", "event", "order"),
    [
        ("envelope", "cutoff", 0),
        ("neighbors", "leaving by rank", -1),
        ("basis", "rank swap", 0),
        ("attention", "cutoff", -1),
        ("activation", "rank swap", 1),
    ],
)
def test_planted_blocks_are_caught(what, event, order):
    potential = planted(what)
    assert potential.continuity_order >= HIGHEST, "it claims to be smooth"
    with pytest.raises(AssertionError, match=f"a wrong {what} should have order .*, but has at {event}: {order}"):
        prove(f"a wrong {what}", potential, [event])
