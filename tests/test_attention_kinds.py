"""What single attentions promise besides: trained temperatures, formulas."""

import pytest
import torch
from attention_tokens import L_MAX, Tokens, attention, centres, mixed, take
from conftest import block_arguments, blocks_of
from torch import Tensor, nn

from mlip_design.blocks.token_layout import TokenLayout

with_tau = pytest.mark.parametrize(
    "name", [name for name in blocks_of("attention") if "tau" in block_arguments("attention", name)]
)


# Temperatures that are trained


@with_tau
def test_a_trained_tau_starts_where_it_is_given_and_stays_above_its_floor(name):
    given = centres()
    fixed, trained = attention(name, tau=2.0), attention(name, tau=2.0, floor=1.5)
    assert (
        mixed(fixed, given) - mixed(trained, given)
    ).abs().max() < 1e-6  # its start is made in single precision
    trained.raw.requires_grad_(True)
    mixed(trained, given).square().sum().backward()
    assert trained.raw.grad.abs() > 0
    with torch.no_grad():
        trained.raw.fill_(-1e3)
    assert (mixed(attention(name, tau=1.5), given) - mixed(trained, given)).abs().max() < 1e-12


@with_tau
@pytest.mark.parametrize("floor", [2.0, 3.0, -0.1])
def test_a_floor_lies_below_tau(name, floor):
    with pytest.raises(Exception, match=f"floor = {floor} must be null"):
        attention(name, tau=2.0, floor=floor)


# Formulas


class Angled(TokenLayout):
    """A layout whose Legendre polynomials are given."""

    geometry = None


def with_legendre(given: Tokens, legendre: Tensor) -> TokenLayout:
    """The layout of some tokens, with polynomials (n_atoms, l_max + 1, n, n) of no angles."""
    layout = given.layout
    geometry = layout.geometry._replace(legendre=legendre)
    layout.__class__ = Angled
    layout.geometry = geometry
    return layout


def test_every_head_of_angular_sees_all_orders():
    """With one order of the angle at a time: what it changes in each head."""
    block, given = attention("angular"), centres(n_atoms=1)
    block.project_out = nn.Identity()
    for order in range(L_MAX + 1):
        legendre = given.layout.geometry.legendre.clone()
        legendre[:, order] += 0.5
        changed = block(given.rows, with_legendre(given, legendre))
        difference = (changed - block(given.rows, given.layout)).unflatten(-1, (4, -1)).abs().amax((0, 2))
        assert (difference > 1e-6).all()


def test_angular_is_its_formula():
    block, given = attention("angular", tau=1.7), centres(n_atoms=1)
    tokens = given.tokens[0]
    weight, log_weight, legendre = (values[0] for values in given.layout.geometry)
    key, value = (tokens @ block.project_key_value.weight.T).chunk(2, dim=-1)
    query, key, value = (
        vectors.unflatten(-1, (4, 8)) for vectors in (tokens @ block.project_query.weight.T, key, value)
    )
    query, key = (v / (v.square().mean(-1, keepdim=True) + 1e-5).sqrt() for v in (query, key))
    out = torch.zeros(6, 4, 8, dtype=torch.float64)
    for head in range(4):
        for a in range(6):
            logits = log_weight + sum(
                legendre[order, a]
                * (key[:, head, 2 * order : 2 * order + 2] @ query[a, head, 2 * order : 2 * order + 2])
                for order in range(4)
            ) / (1.7 * 8**0.5)
            out[a, head] = logits.softmax(0) @ (value[:, head] * weight[:, None])
    expected = out.flatten(1) @ block.project_out.weight.T
    assert (mixed(block, given)[0] - expected).abs().max() < 1e-12


def additive(block: nn.Module) -> bool:
    """Whether what one token adds to the first does not depend on which others there are."""
    given = centres()
    without = [mixed(block, take(given, others))[:, 0] for others in ([0], [0, 1])]
    with_last = [mixed(block, take(given, [*others, 4]))[:, 0] for others in ([0], [0, 1])]
    one, other = (b - a for a, b in zip(without, with_last, strict=True))
    return bool(torch.allclose(one, other, atol=1e-12))


def test_tokens_compete_except_in_sigmoid():
    assert [name for name in blocks_of("attention") if additive(attention(name))] == ["sigmoid"]


def test_shares_of_linear_attention_are_positive_and_add_up_to_one():
    """Without angles: a mean of the values, whatever the keys are."""
    block, given = attention("linear"), centres()
    block.project_out = nn.Identity()
    layout = with_legendre(given, torch.ones_like(given.layout.geometry.legendre))
    values = block.project_key_value(given.tokens).chunk(2, dim=-1)[1]
    found = layout.side_by_side(block(given.rows, layout))
    assert ((found <= values.amax(1, keepdim=True)) & (found >= values.amin(1, keepdim=True))).all()
    assert found.std(1).max() > 1e-3
