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

import torch
from torch import Tensor, nn

from mlip_design.blocks.contracts import Edges
from mlip_design.blocks.norm import rms_norm
from mlip_design.blocks.token_layout import TokenLayout

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
        layout = TokenLayout(edges, len(numbers), self.l_max)
        tokens = torch.cat([self.embed_atom(numbers), self.embed_edge(numbers, edges)])
        for layer in self.layers[:-1]:
            tokens = permute(layer(tokens, layout), layout.opposite)
        return rms_norm(self.layers[-1](tokens, layout, selves_only=True), self.norm_eps)


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

    def forward(self, tokens: Tensor, layout: TokenLayout, selves_only: bool = False) -> Tensor:
        """(n_tokens, n_features), by source -> the same, by destination.

        selves_only: only self tokens are wanted back, (n_atoms, n_features).
        """
        tokens = tokens + self.by_source(rms_norm(tokens, self.norm_eps), layout)
        tokens = permute(tokens, layout.opposite)
        normed = rms_norm(tokens, self.norm_eps)
        if selves_only:
            tokens = tokens[: layout.n_atoms]
        tokens = tokens + self.by_destination(normed, layout, selves_only)
        return tokens + self.feed_forward(rms_norm(tokens, self.norm_eps))


class Permute(torch.autograd.Function):
    """Use `permute`. The permutation is its own inverse: the gradient is the same gather, not a scatter."""

    @staticmethod
    def forward(ctx, tokens: Tensor, opposite: Tensor) -> Tensor:
        """tokens (n_tokens, n_features), opposite (n_tokens,) -> permuted tokens."""
        ctx.save_for_backward(opposite)
        return tokens.index_select(0, opposite)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        """The permutation is its own transpose."""
        return Permute.apply(gradient, ctx.saved_tensors[0]), None


def permute(tokens: Tensor, opposite: Tensor) -> Tensor:
    """Re-index tokens (n_tokens, n_features) by `TokenLayout.opposite`."""
    if torch.compiler.is_compiling():  # which takes no second derivatives of a Function
        return tokens.index_select(0, opposite)
    return Permute.apply(tokens, opposite)
