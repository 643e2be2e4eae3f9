"""Attention among the tokens of a centre: faded tokens are as absent ones, order is irrelevant, tau is respected."""

import numpy as np
import pytest
import torch
from attention_tokens import Tokens, attention, centres, take
from conftest import block_arguments, blocks_of, build_block
from torch import Tensor, nn

attentions = pytest.mark.parametrize("name", blocks_of("attention"))
with_tau = pytest.mark.parametrize(
    "name", [name for name in blocks_of("attention") if "tau" in block_arguments("attention", name)]
)


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
