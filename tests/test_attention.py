"""Attention among the tokens of a centre: faded tokens are as absent ones, order is irrelevant, tau is respected."""

import numpy as np
import pytest
import torch
from attention_tokens import Tokens, attention, centres, copied, mixed, take, take_centres
from conftest import block_arguments, blocks_of, build_block
from torch import Tensor, nn

attentions = pytest.mark.parametrize("name", blocks_of("attention"))
with_tau = pytest.mark.parametrize(
    "name", [name for name in blocks_of("attention") if "tau" in block_arguments("attention", name)]
)


def faded(given: Tokens, weight: float) -> Tokens:
    """The last token at a weight."""
    changed = copied(given)
    changed.weight[:, -1] = weight
    changed.log_weight[:, -1] = np.log(weight) if weight else -np.inf
    return changed


def influence(block: nn.Module, weight: float) -> float:
    """What the last token, at a weight, changes in the output of the others."""
    given = centres()
    without = mixed(block, take(given, [0, 1, 2, 3]))
    return (mixed(block, faded(given, weight))[:, :-1] - without).abs().max().item()


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

    def forward(self, tokens, layout):
        mean = layout.side_by_side(tokens).sum(1, keepdim=True) / layout.width
        return layout.in_rows(mean.expand(-1, layout.width, -1))


def test_influence_of_a_faded_token_is_caught():
    assert influence(Deaf(), 0.0) > 1e-2


@attentions
def test_centres_of_several_sizes_know_nothing_of_each_other(name):
    block, given = attention(name), centres(n_atoms=4)._replace(counts=torch.tensor([5, 0, 3, 1]))
    together = mixed(block, given)
    for atom, count in enumerate(given.counts.tolist()):
        alone = mixed(block, take(take_centres(given, [atom]), list(range(count))))
        assert alone.isfinite().all()
        assert (together[[atom], : 1 + count] - alone).abs().max() < 1e-12


@attentions
def test_only_self_tokens_are_mixed_on_demand(name):
    block, given = attention(name), centres()._replace(counts=torch.tensor([2, 5, 0]))
    selves = block(given.rows, given.layout, selves_only=True)
    assert (selves - mixed(block, given)[:, 0]).abs().max() < 1e-12


@attentions
def test_order_of_tokens_and_centres_is_irrelevant(name):
    block, given, order = attention(name), centres(), [3, 0, 1, 4, 2]
    result = mixed(block, given)
    assert result.shape == given.tokens.shape
    found = mixed(block, take(given, order))
    assert (found[:, 1:] - result[:, 1:][:, order]).abs().max() < 1e-12
    assert (found[:, 0] - result[:, 0]).abs().max() < 1e-12
    assert (mixed(block, take_centres(given, [2])) - result[[2]]).abs().max() < 1e-12


@attentions
def test_first_and_second_derivatives(name):
    block, given = attention(name), centres(n_atoms=1, n_edges=2)

    def of(tokens: Tensor, log_weight: Tensor) -> Tensor:
        spread = tokens[..., None].expand_as(given.tokens)
        moved = given._replace(tokens=spread, weight=log_weight.exp(), log_weight=log_weight)
        return block(moved.rows, moved.layout).sum(-1)

    inputs = (given.tokens[..., 0].clone().requires_grad_(), given.log_weight.clone().requires_grad_())
    assert torch.autograd.gradcheck(of, inputs)
    assert torch.autograd.gradgradcheck(of, inputs)


@with_tau
def test_tau_divides_the_preference(name):
    """At infinite temperature every token receives the same mixture; at a low one it does not."""
    given = centres()
    spread = [mixed(attention(name, tau=tau), given).std(1).max().item() for tau in (0.5, 2.0, 1e9)]
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
    before, after = mixed(block, given), mixed(block, given._replace(tokens=1e3 * given.tokens))
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
    assert mixed(attention("angular"), centres()).isfinite().all()
    with pytest.raises(Exception, match=r"n_features = 36 must be a multiple of n_heads x \(l_max \+ 1\) = 16"):
        build_block("attention", "angular", n_features=36)
