"""Attention among the tokens of a centre: faded tokens are as absent ones, order is irrelevant, tau is respected."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from conftest import block_arguments, blocks_of, build_block
from numpy.polynomial import legendre
from torch import Tensor, nn

N_FEATURES = 32
L_MAX = 3

attentions = pytest.mark.parametrize("name", blocks_of("attention"))
with_tau = pytest.mark.parametrize(
    "name", [name for name in blocks_of("attention") if "tau" in block_arguments("attention", name)]
)


class Tokens(NamedTuple):
    """What an attention block is given; fields as in `contracts.Attention`."""

    tokens: Tensor
    weight: Tensor
    log_weight: Tensor
    legendre: Tensor


def attention(name: str, **changes) -> nn.Module:
    """The block at small size, with weights large enough to prefer some tokens clearly."""
    block = build_block("attention", name, n_features=N_FEATURES, n_heads=4, l_max=L_MAX, **changes)
    for parameter in block.requires_grad_(False).parameters():
        if parameter.ndim > 1:
            parameter *= 2
    return block


def centres(n_atoms: int = 3, n_edges: int = 5, seed: int = 0) -> Tokens:
    """Centres with a self token and `n_edges` edges each, all of weight above 0."""
    random = np.random.default_rng(seed)
    unit = random.normal(size=(n_atoms, n_edges + 1, 3))
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    unit[:, 0] = 0
    weight = random.uniform(0.1, 1, (n_atoms, n_edges + 1))
    weight[:, 0] = 1
    cosine = unit @ unit.transpose(0, 2, 1)
    polynomials = np.stack(
        [legendre.legval(cosine, np.eye(L_MAX + 1)[order]) for order in range(L_MAX + 1)], axis=1
    )
    values = (random.normal(size=(*weight.shape, N_FEATURES)), weight, np.log(weight), polynomials)
    return Tokens(*(torch.from_numpy(value) for value in values))


def take(given: Tokens, order: list[int]) -> Tokens:
    """Some of the tokens of every centre, in an order."""
    polynomials = given.legendre[:, :, order][:, :, :, order]
    return Tokens(given.tokens[:, order], given.weight[:, order], given.log_weight[:, order], polynomials)


def faded(given: Tokens, weight: float) -> Tokens:
    """The last token at a weight."""
    changed = Tokens(*(value.clone() for value in given))
    changed.weight[:, -1] = weight
    changed.log_weight[:, -1] = np.log(weight) if weight else -np.inf
    return changed


def influence(block: nn.Module, weight: float) -> float:
    """What the last token, at a weight, changes in the output of the others."""
    given = centres()
    return (block(*faded(given, weight))[:, :-1] - block(*take(given, [0, 1, 2, 3, 4]))).abs().max().item()


@attentions
def test_token_of_no_weight_has_no_influence(name):
    block = attention(name)
    assert influence(block, 1.0) > 1e-2
    for weight in (1e-14, 1e-300, 0.0):
        assert influence(block, weight) < 1e-10


@attentions
def test_influence_fades_in_proportion_to_the_weight(name):
    block = attention(name)
    assert influence(block, 1e-7) < 1.01e-2 * influence(block, 1e-5)


class Deaf(nn.Module):
    """Wrong on purpose: plain mean of the tokens, whatever their weight."""

    def forward(self, tokens, weight, log_weight, legendre):
        return tokens.mean(1, keepdim=True).expand_as(tokens)


def test_influence_of_a_faded_token_is_caught():
    assert influence(Deaf(), 0.0) > 1e-2


@attentions
def test_content_of_padding_is_irrelevant(name):
    block = attention(name)
    padded = faded(centres(), 0.0)
    other = Tokens(*(value.clone() for value in padded))
    other.tokens[:, -1] = 1e3
    other.legendre[..., -1] = other.legendre[..., -1, :] = 0.3
    assert (block(*padded) - block(*other))[:, :-1].abs().max() < 1e-10


@attentions
def test_a_centre_with_nothing_but_its_self_token(name):
    alone = take(centres(), [0])
    padded = Tokens(*(value.clone() for value in take(centres(), [0, 1, 2])))
    padded.weight[:, 1:] = 0
    padded.log_weight[:, 1:] = -np.inf
    block = attention(name)
    assert block(*alone).isfinite().all()
    assert (block(*alone) - block(*padded)[:, :1]).abs().max() < 1e-10


@attentions
def test_order_of_tokens_and_centres_is_irrelevant(name):
    block, given, order = attention(name), centres(), [3, 0, 5, 1, 4, 2]
    result = block(*given)
    assert result.shape == given.tokens.shape
    assert (block(*take(given, order)) - result[:, order]).abs().max() < 1e-12
    assert (block(*(value[[2]] for value in given)) - result[[2]]).abs().max() < 1e-12


@attentions
def test_first_and_second_derivatives(name):
    block, given = attention(name), centres(n_atoms=1, n_edges=2)

    def of(tokens: Tensor, log_weight: Tensor) -> Tensor:
        return block(tokens[..., None].expand_as(given.tokens), log_weight.exp(), log_weight, given.legendre).sum(
            -1
        )

    inputs = (given.tokens[..., 0].clone().requires_grad_(), given.log_weight.clone().requires_grad_())
    assert torch.autograd.gradcheck(of, inputs)
    assert torch.autograd.gradgradcheck(of, inputs)


@with_tau
def test_tau_divides_the_preference(name):
    """At infinite temperature every token receives the same mixture; at a low one it does not."""
    given = centres()
    spread = [attention(name, tau=tau)(*given).std(1).max().item() for tau in (0.5, 2.0, 1e9)]
    assert spread[0] > spread[1] > 1e-3
    assert spread[2] < 1e-6


@with_tau
@pytest.mark.parametrize("tau", [0.0, -1.0])
def test_tau_must_be_positive(name, tau):
    with pytest.raises(Exception, match=f"tau = {tau} must be positive"):
        attention(name, tau=tau)


def grows_linearly(block: nn.Module) -> bool:
    """Whether tokens a thousand times larger, as from larger weights, scale the values but sharpen no preference."""
    given = centres()
    before, after = block(*given), block(1e3 * given.tokens, *given[1:])
    assert after.isfinite().all()
    return bool(torch.allclose(after, 1e3 * before, rtol=1e-3, atol=1e-2))


@pytest.mark.parametrize("name", ["smooth", "angular", "sigmoid", "linear"])
def test_smooth_logits_are_bounded_however_large_the_tokens(name):
    assert grows_linearly(attention(name))


@pytest.mark.parametrize("name", ["softmax", "temperature"])
def test_plain_logits_grow_with_the_tokens(name):
    assert not grows_linearly(attention(name))


@attentions
def test_channels_must_divide_among_heads_and_orders(name):
    with pytest.raises(Exception, match="n_features = 30 must be a multiple of"):
        build_block("attention", name, n_features=30)


def test_orders_must_divide_the_channels_of_angular_heads():
    assert attention("angular")(*centres()).isfinite().all()
    with pytest.raises(Exception, match=r"n_features = 36 must be a multiple of n_heads x \(l_max \+ 1\) = 16"):
        build_block("attention", "angular", n_features=36)


# Temperatures that are trained


@with_tau
def test_a_trained_tau_starts_where_it_is_given_and_stays_above_its_floor(name):
    given = centres()
    fixed, trained = attention(name, tau=2.0), attention(name, tau=2.0, floor=1.5)
    assert (fixed(*given) - trained(*given)).abs().max() < 1e-6  # its start is made in single precision
    trained.raw.requires_grad_(True)
    trained(*given).square().sum().backward()
    assert trained.raw.grad.abs() > 0
    with torch.no_grad():
        trained.raw.fill_(-1e3)
    assert (attention(name, tau=1.5)(*given) - trained(*given)).abs().max() < 1e-12


@with_tau
@pytest.mark.parametrize("floor", [2.0, 3.0, -0.1])
def test_a_floor_lies_below_tau(name, floor):
    with pytest.raises(Exception, match=f"floor = {floor} must be null"):
        attention(name, tau=2.0, floor=floor)


# Formulas


def test_every_head_of_angular_sees_all_orders():
    """With one order of the angle at a time: what it changes in each head."""
    block, given = attention("angular"), centres(n_atoms=1)
    block.project_out = nn.Identity()
    for order in range(L_MAX + 1):
        changed = Tokens(*(value.clone() for value in given))
        changed.legendre[:, order] += 0.5
        difference = (block(*changed) - block(*given)).unflatten(-1, (4, -1)).abs().amax((0, 1, 3))
        assert (difference > 1e-6).all()


def test_angular_is_its_formula():
    block, given = attention("angular", tau=1.7), centres(n_atoms=1)
    tokens = given.tokens[0]
    key, value = (tokens @ block.project_key_value.weight.T).chunk(2, dim=-1)
    query, key, value = (
        vectors.unflatten(-1, (4, 8)) for vectors in (tokens @ block.project_query.weight.T, key, value)
    )
    query, key = (v / (v.square().mean(-1, keepdim=True) + 1e-5).sqrt() for v in (query, key))
    out = torch.zeros(6, 4, 8, dtype=torch.float64)
    for head in range(4):
        for a in range(6):
            logits = given.log_weight[0] + sum(
                given.legendre[0, order, a]
                * (key[:, head, 2 * order : 2 * order + 2] @ query[a, head, 2 * order : 2 * order + 2])
                for order in range(4)
            ) / (1.7 * 8**0.5)
            out[a, head] = logits.softmax(0) @ (value[:, head] * given.weight[0][:, None])
    expected = out.flatten(1) @ block.project_out.weight.T
    assert (block(*given)[0] - expected).abs().max() < 1e-12


def additive(block: nn.Module) -> bool:
    """Whether what one token adds to the first does not depend on which others there are."""
    given = centres()
    without = [block(*take(given, others))[:, :1] for others in ([0, 1], [0, 1, 2])]
    with_last = [block(*take(given, [*others, 5]))[:, :1] for others in ([0, 1], [0, 1, 2])]
    one, other = (b - a for a, b in zip(without, with_last, strict=True))
    return bool(torch.allclose(one, other, atol=1e-12))


def test_tokens_compete_except_in_sigmoid():
    assert [name for name in blocks_of("attention") if additive(attention(name))] == ["sigmoid"]


def test_shares_of_linear_attention_are_positive_and_add_up_to_one():
    """Without angles: a mean of the values, whatever the keys are."""
    block, given = attention("linear"), centres()
    block.project_out = nn.Identity()
    ones = torch.ones_like(given.legendre)
    values = block.project_key_value(given.tokens).chunk(2, dim=-1)[1]
    mixed = block(given.tokens, given.weight, given.log_weight, ones)
    assert ((mixed <= values.amax(1, keepdim=True)) & (mixed >= values.amin(1, keepdim=True))).all()
    assert mixed.std(1).max() > 1e-3
