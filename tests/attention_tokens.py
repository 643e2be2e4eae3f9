"""Attention blocks at small size, and tokens for them."""

from typing import NamedTuple

import numpy as np
import torch
from conftest import build_block
from torch import Tensor, nn

from mlip_design.blocks.contracts import Edges
from mlip_design.blocks.token_layout import TokenLayout

N_FEATURES = 32
L_MAX = 3


class Tokens(NamedTuple):
    """Tokens of n_atoms centres side by side, the self token first."""

    tokens: Tensor
    """(n_atoms, n, n_features)."""
    weight: Tensor
    """(n_atoms, n - 1), of the edges."""
    log_weight: Tensor
    """(n_atoms, n - 1)."""
    unit: Tensor
    """(n_atoms, n - 1, 3), directions of the edges."""
    counts: Tensor
    """(n_atoms,), how many edges of each centre there are; the others are left out."""

    @property
    def there(self) -> Tensor:
        """(n_atoms, n), which of the tokens there are."""
        return torch.arange(self.tokens.shape[1]) <= self.counts[:, None]

    @property
    def layout(self) -> TokenLayout:
        """As a backbone makes it."""
        there = self.there[:, 1:]
        source, slot = there.nonzero(as_tuple=True)
        edges = Edges(
            source=source,
            target=source,
            reverse=torch.arange(len(source)),
            displacement=self.unit[there],
            distance=self.unit.new_ones(len(source)),
            weight=self.weight[there],
            log_weight=self.log_weight[there],
            radial=self.unit.new_zeros(len(source), 0),
            slot=slot,
            n_slots=int(self.counts.max()),
        )
        return TokenLayout(edges, len(self.tokens), L_MAX)

    @property
    def rows(self) -> Tensor:
        """(n_tokens, n_features), in the order of the layout."""
        return torch.cat([self.tokens[:, 0], self.tokens[:, 1:][self.there[:, 1:]]])


def attention(name: str, **changes) -> nn.Module:
    """The block at small size, with weights large enough to prefer some tokens clearly."""
    block = build_block("attention", name, n_features=N_FEATURES, n_heads=4, l_max=L_MAX, **changes)
    for parameter in block.requires_grad_(False).parameters():
        if parameter.ndim > 1:
            parameter *= 2
    return block


def mixed(block: nn.Module, given: Tokens) -> Tensor:
    """What the block makes of all tokens, (n_atoms, n, n_features), 0 where there are none."""
    rows, n_atoms = block(given.rows, given.layout), len(given.tokens)
    edges = rows.new_zeros(*given.weight.shape, rows.shape[-1])
    edges[given.there[:, 1:]] = rows[n_atoms:]
    return torch.cat([rows[:n_atoms, None], edges], dim=1)


def centres(n_atoms: int = 3, n_edges: int = 5, seed: int = 0) -> Tokens:
    """Centres with a self token and `n_edges` edges each, all of weight above 0."""
    random = np.random.default_rng(seed)
    unit = random.normal(size=(n_atoms, n_edges, 3))
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    weight = random.uniform(0.1, 1, (n_atoms, n_edges))
    tokens = random.normal(size=(n_atoms, n_edges + 1, N_FEATURES))
    values = (tokens, weight, np.log(weight), unit, np.full(n_atoms, n_edges))
    return Tokens(*(torch.from_numpy(value) for value in values))


def take(given: Tokens, edges: list[int]) -> Tokens:
    """Some of the edges of every centre, in an order."""
    tokens = torch.cat([given.tokens[:, :1], given.tokens[:, 1:][:, edges]], dim=1)
    moved = (values[:, edges] for values in given[1:4])
    return Tokens(tokens, *moved, torch.full_like(given.counts, len(edges)))


def take_centres(given: Tokens, atoms: list[int]) -> Tokens:
    """Some of the centres."""
    return Tokens(*(values[atoms] for values in given))


def copied(given: Tokens) -> Tokens:
    """To change."""
    return Tokens(*(values.clone() for values in given))
