"""Attention blocks at small size, and tokens for them."""

from typing import NamedTuple

import numpy as np
import torch
from conftest import build_block
from numpy.polynomial import legendre
from torch import Tensor, nn

N_FEATURES = 32
L_MAX = 3


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
