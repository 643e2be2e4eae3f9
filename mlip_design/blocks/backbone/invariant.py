"""Continuous-filter convolution after SchNet (arXiv:1706.08566): scalars only, one filter an edge and channel.

h_i <- h_i + U(sum over neighbours j of w_ij W(radial_ij) * V h_j / sqrt(mean_neighbors)),   W, U: two-layer networks

The filter W sees distances only, so features are invariant and carry angles through the distances of several
neighbours: cheap, the first thing to try. Edges of weight 0 contribute nothing, so features are as smooth as the
envelope, the basis and the neighbour selection are.
"""

from collections.abc import Callable
from math import inf, sqrt

from torch import Tensor, nn

from mlip_design.blocks.contracts import Edges

MAX_ATOMIC_NUMBER = 118


class Invariant(nn.Module):
    """Message passing of scalars.

    n_features: channels of an atom. n_layers: convolutions. n_basis: radial functions an edge comes with.
    mean_neighbors: neighbours an atom usually has; sums over edges are divided by its root, never by a count.
    activation: makes a non-linearity.
    """

    continuity_order = inf

    equivariant = True

    def __init__(
        self,
        n_features: int,
        n_layers: int,
        n_basis: int,
        mean_neighbors: float,
        activation: Callable[[], nn.Module],
    ):
        super().__init__()
        self.n_features = n_features
        self.embed_atom = nn.Embedding(MAX_ATOMIC_NUMBER + 1, n_features)
        self.layers = nn.ModuleList(
            Convolution(n_features, n_basis, mean_neighbors, activation) for _ in range(n_layers)
        )
        for linear in (module for module in self.modules() if isinstance(module, nn.Linear)):
            nn.init.kaiming_normal_(linear.weight, nonlinearity="linear")  # a mean square of 1 stays 1

    def forward(self, numbers: Tensor, edges: Edges) -> Tensor:
        """numbers (n_atoms,) -> (n_atoms, n_features), dimensionless."""
        features = self.embed_atom(numbers)
        for layer in self.layers:
            features = features + layer(features, edges)
        return features


class Convolution(nn.Module):
    """What the neighbours of an atom add to its features."""

    def __init__(self, n_features: int, n_basis: int, mean_neighbors: float, activation: Callable[[], nn.Module]):
        super().__init__()
        self.norm = 1 / sqrt(mean_neighbors)
        self.filter = nn.Sequential(
            nn.Linear(n_basis, n_features), activation(), nn.Linear(n_features, n_features)
        )
        self.send = nn.Linear(n_features, n_features, bias=False)
        self.receive = nn.Sequential(
            nn.Linear(n_features, n_features), activation(), nn.Linear(n_features, n_features)
        )

    def forward(self, features: Tensor, edges: Edges) -> Tensor:
        """(n_atoms, n_features) -> (n_atoms, n_features)."""
        filters = self.filter(edges.radial) * (self.norm * edges.weight)[:, None]
        messages = self.send(features).index_select(0, edges.target) * filters
        return self.receive(features.new_zeros(features.shape).index_add(0, edges.source, messages))
