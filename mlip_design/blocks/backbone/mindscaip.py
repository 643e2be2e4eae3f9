"""Edge-token transformer after MinDScAIP (arXiv:2602.04861).

Tokens are the directed edges and one self token a centre. A layer lets the edges that share a source attend to each
other, re-indexes (i, j, S) -> (j, i, -S), lets the edges that share a destination attend, re-indexes back, and ends
with a feed-forward network; each part is pre-normalised and residual. The re-indexing is a permutation, its own
inverse. Angles between edges reach the attention as Legendre polynomials (`l_max` > 0); absolute directions enter
the tokens only with `directions` > 0 (spherical harmonics up to that l), which gives up rotational invariance.

A centre's features are its final self token. Edges of weight 0 influence nothing, so features are as smooth as the
envelope and the neighbour selection are.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mlip_design.blocks.contracts import Edges
from mlip_design.blocks.norm import rms_norm
from mlip_design.blocks.padding import pad

MAX_ATOMIC_NUMBER = 118


class Mindscaip(nn.Module):
    """Attention over directed edges.

    n_features: channels of a token. n_layers: layers, two attentions each. n_basis: radial functions an edge comes
    with. attention: makes one attention block. activation: makes a non-linearity. l_max: highest Legendre order
    offered to attention. directions: highest l of the spherical harmonics in the edge tokens, 0 for none. expansion:
    hidden width of the feed-forward network in units of n_features. norm_eps: added to the mean square of a token
    before its root divides it; a small token is scaled by up to 1 / sqrt(norm_eps).
    """

    def __init__(
        self,
        n_features: int,
        n_layers: int,
        n_basis: int,
        attention: Callable[[], nn.Module],
        activation: Callable[[], nn.Module],
        l_max: int,
        directions: int,
        expansion: int,
        norm_eps: float,
    ):
        super().__init__()
        self.n_features = n_features
        self.norm_eps = norm_eps
        self.l_max = l_max
        self.equivariant = directions == 0
        self.embed_edge = EdgeEmbedding(n_features, n_basis, directions, activation)
        self.embed_atom = nn.Embedding(MAX_ATOMIC_NUMBER + 1, n_features)
        self.layers = nn.ModuleList(
            Layer(n_features, attention, activation, expansion, norm_eps) for _ in range(n_layers)
        )

    def forward(self, numbers: Tensor, edges: Edges) -> Tensor:
        """numbers (n_atoms,) -> (n_atoms, n_features), dimensionless."""
        layout = token_layout(edges, len(numbers), self.l_max)
        atoms = self.embed_atom(numbers)
        rows, n_rows = layout.rows, layout.opposite.shape[0]
        tokens = pad(self.embed_edge(numbers, edges), rows, n_rows).view(len(numbers), -1, self.n_features)
        tokens = torch.cat([atoms[:, None], tokens[:, 1:]], dim=1)
        for layer in self.layers[:-1]:
            tokens = permute(layer(tokens, layout), layout.opposite)
        return rms_norm(self.layers[-1](tokens, layout, n_read=1)[:, 0], self.norm_eps)


class TokenLayout(NamedTuple):
    """Where tokens sit: one row a token, n_tokens rows a centre, the self token first, padding last."""

    rows: Tensor
    """(n_edges,) int64, row of each edge."""
    opposite: Tensor
    """(n_atoms * n_tokens,) int64, row of the opposite edge; self tokens and padding stay where they are."""
    weight: Tensor
    """(n_atoms, n_tokens), dimensionless: 1 for the self token, 0 for padding."""
    log_weight: Tensor
    """(n_atoms, n_tokens): 0 for the self token, -inf for padding."""
    legendre: Tensor
    """(n_atoms, l_max + 1, n_tokens, n_tokens), P_l of the cosine between two edges."""


def token_layout(edges: Edges, n_atoms: int, l_max: int) -> TokenLayout:
    """Lay the edges out by centre and compute what every layer needs of their geometry."""
    n_tokens = edges.n_slots + 1
    n_rows = n_atoms * n_tokens
    rows = edges.source * n_tokens + 1 + edges.slot
    opposite = torch.arange(n_rows, device=rows.device).index_copy(0, rows, rows[edges.reverse])
    self_column = edges.weight.new_ones(n_atoms, 1)
    weight = pad(edges.weight, rows, n_rows).view(n_atoms, n_tokens)
    log_weight = pad(edges.log_weight, rows, n_rows, -torch.inf).view(n_atoms, n_tokens)
    unit = pad(edges.displacement / edges.distance[:, None], rows, n_rows).view(n_atoms, n_tokens, 3)
    return TokenLayout(
        rows,
        opposite,
        torch.cat([self_column, weight[:, 1:]], dim=1),
        torch.cat([0 * self_column, log_weight[:, 1:]], dim=1),
        legendre_polynomials(unit @ unit.transpose(1, 2), l_max),
    )


def legendre_polynomials(cosine: Tensor, l_max: int) -> Tensor:
    """P_0 .. P_l_max by Bonnet's recurrence: (n_atoms, n_tokens, n_tokens) -> (n_atoms, l_max + 1, ...)."""
    values = [torch.ones_like(cosine), cosine]
    for order in range(2, l_max + 1):
        values.append(((2 * order - 1) * cosine * values[-1] - (order - 1) * values[-2]) / order)
    return torch.stack(values[: l_max + 1], dim=1)


class EdgeEmbedding(nn.Module):
    """First tokens of the edges from species, distance and, if wanted, absolute direction."""

    def __init__(self, n_features: int, n_basis: int, directions: int, activation: Callable[[], nn.Module]):
        super().__init__()
        self.source_species = nn.Embedding(MAX_ATOMIC_NUMBER + 1, n_features)
        self.target_species = nn.Embedding(MAX_ATOMIC_NUMBER + 1, n_features)
        self.harmonics = directional_harmonics(directions) if directions else None
        self.radial = nn.Linear(n_basis, n_features)
        self.angular = nn.Linear((directions + 1) ** 2 - 1, n_features, bias=False) if directions else None
        self.activation = activation()
        self.mix = nn.Linear(n_features, n_features)

    def forward(self, numbers: Tensor, edges: Edges) -> Tensor:
        """(n_edges, n_features)."""
        species = self.source_species(numbers[edges.source]) + self.target_species(numbers[edges.target])
        features = self.radial(edges.radial) * species
        if self.angular is not None:
            unit = edges.displacement / edges.distance[:, None]
            features = features + self.angular(self.harmonics(unit))
        return self.mix(self.activation(features))


def directional_harmonics(l_max: int) -> nn.Module:
    """Spherical harmonics l = 1 .. l_max of unit vectors (..., 3): (..., (l_max + 1)^2 - 1), mean square 1 each."""
    from e3nn.o3 import SphericalHarmonics  # takes seconds to import, which most models need not wait for

    return SphericalHarmonics(list(range(1, l_max + 1)), normalize=False, normalization="component")


class Layer(nn.Module):
    """Attention among edges of one source, among edges of one destination, feed-forward."""

    def __init__(
        self,
        n_features: int,
        attention: Callable[[], nn.Module],
        activation: Callable[[], nn.Module],
        expansion: int,
        norm_eps: float,
    ):
        super().__init__()
        self.norm_eps = norm_eps
        self.by_source = attention()
        self.by_destination = attention()
        self.feed_forward = nn.Sequential(
            nn.Linear(n_features, expansion * n_features),
            activation(),
            nn.Linear(expansion * n_features, n_features),
        )

    def forward(self, tokens: Tensor, layout: TokenLayout, n_read: int | None = None) -> Tensor:
        """(n_atoms, n_tokens, n_features), by source -> (n_atoms, n_read, n_features), by destination.

        n_read: how many tokens of each centre, the self token first, anyone will read; None for all.
        """
        geometry = (layout.weight, layout.log_weight, layout.legendre)
        tokens = tokens + self.by_source(rms_norm(tokens, self.norm_eps), *geometry)
        tokens = permute(tokens, layout.opposite)
        normed = rms_norm(tokens, self.norm_eps)
        read = tokens[:, :n_read] + self.by_destination(normed, *geometry, n_queries=n_read)
        rows = read.flatten(0, 1)  # a network of matrices, whose sizes torch.compile can leave open
        return (rows + self.feed_forward(rms_norm(rows, self.norm_eps))).view_as(read)


class Permute(torch.autograd.Function):
    """Use `permute`. The permutation is its own inverse: the gradient is the same gather, not a scatter."""

    @staticmethod
    def forward(ctx, tokens: Tensor, opposite: Tensor) -> Tensor:
        """tokens (n_atoms, n_tokens, n_features), opposite (n_atoms * n_tokens,) -> permuted tokens."""
        ctx.save_for_backward(opposite)
        return permuted(tokens, opposite)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        """The permutation is its own transpose."""
        return Permute.apply(gradient, ctx.saved_tensors[0]), None


def permute(tokens: Tensor, opposite: Tensor) -> Tensor:
    """Re-index tokens (n_atoms, n_tokens, n_features) by `TokenLayout.opposite`."""
    if torch.compiler.is_compiling():  # which takes no second derivatives of a Function
        return permuted(tokens, opposite)
    return Permute.apply(tokens, opposite)


def permuted(tokens: Tensor, opposite: Tensor) -> Tensor:
    """The same, left to autograd."""
    return tokens.flatten(0, 1).index_select(0, opposite).view_as(tokens)
