"""Message passing with tensor products of irreducible representations of O(3), after NequIP (arXiv:2101.03164).

m_i = sum over neighbours j of w_ij R(radial_ij, Z_i, Z_j) * (h_j (x) Y(u_ij)) / sqrt(mean_neighbors)
h_i <- gate(A h_i + B m_i)

The features of an atom are scalars, vectors, ... of l up to l_max in every channel. (x) couples them with the spherical
harmonics of the direction u_ij by Wigner 3j symbols, channel by channel; R is a network, A and B mix channels. The gate
is an activation of scalars and multiplies every other tensor by the sigmoid of a scalar of its own. The features that
are read out are the scalars of the last layer: invariant. Edges of weight 0 contribute nothing, so features are as
smooth as the envelope, the basis and the neighbour selection are; directions are displacements over distances, which
are positive.
"""

from collections.abc import Callable
from math import inf, sqrt
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mlip_design.blocks.contracts import Edges

MAX_ATOMIC_NUMBER = 118


class Irrep(NamedTuple):
    """An irreducible representation of O(3), of 2 degree + 1 components."""

    degree: int
    """l."""
    parity: int
    """1 or -1, the sign under inversion; that of a spherical harmonic is (-1)^l."""

    @property
    def size(self) -> int:
        """Number of components."""
        return 2 * self.degree + 1


SCALAR = Irrep(0, 1)


class Equivariant(nn.Module):
    """Tensor-product message passing.

    n_features: channels of every tensor. n_layers: interactions. n_basis: radial functions an edge comes with.
    l_max: highest l of features and harmonics. pseudotensors: also carry features with the parity that no harmonic
    has, such as axial vectors. mean_neighbors: neighbours an atom usually has; sums over edges are divided by its root,
    never by a count of edges. activation: makes a non-linearity.
    """

    continuity_order = inf

    equivariant = True

    def __init__(
        self,
        n_features: int,
        n_layers: int,
        n_basis: int,
        l_max: int,
        pseudotensors: bool,
        mean_neighbors: float,
        activation: Callable[[], nn.Module],
    ):
        super().__init__()
        from e3nn.o3 import SphericalHarmonics  # takes seconds to import, which other models need not wait for

        self.n_features = n_features
        self.norm = 1 / sqrt(mean_neighbors)
        self.harmonics = SphericalHarmonics(list(range(l_max + 1)), normalize=False, normalization="component")
        self.embed_atom = nn.Embedding(MAX_ATOMIC_NUMBER + 1, n_features)
        signs = (1, -1) if pseudotensors else (1,)
        tensors = [Irrep(degree, sign * (-1) ** degree) for degree in range(l_max + 1) for sign in signs]
        kept, self.layers = [SCALAR], nn.ModuleList()
        for remaining in reversed(range(n_layers)):
            wanted = [t for t in tensors if paths_to(t, kept, l_max)] if remaining else [SCALAR]
            self.layers.append(Interaction(kept, wanted, l_max, n_features, n_basis, activation))
            kept = wanted
        for linear in (module for module in self.modules() if isinstance(module, nn.Linear)):
            nn.init.kaiming_normal_(linear.weight, nonlinearity="linear")  # a mean square of 1 stays 1

    def forward(self, numbers: Tensor, edges: Edges) -> Tensor:
        """numbers (n_atoms,) -> (n_atoms, n_features), dimensionless."""
        harmonics = self.harmonics(edges.displacement / edges.distance[:, None])
        harmonics = harmonics * (self.norm * edges.weight)[:, None]
        features = self.embed_atom(numbers)[:, None]
        for layer in self.layers:
            features = layer(features, numbers, edges, harmonics)
        return features[:, 0]


def paths_to(target: Irrep, sources: list[Irrep], l_max: int) -> list[tuple[Irrep, int]]:
    """Pairs (irrep of a neighbour, l of a harmonic) whose product contains the target."""
    return [
        (source, degree)
        for source in sources
        for degree in range(l_max + 1)
        if abs(source.degree - degree) <= target.degree <= source.degree + degree
        and source.parity * (-1) ** degree == target.parity
    ]


class Interaction(nn.Module):
    """One round of messages: features of irreps `sources` -> of irreps `targets`, scalars first."""

    def __init__(
        self,
        sources: list[Irrep],
        targets: list[Irrep],
        l_max: int,
        n_features: int,
        n_basis: int,
        activation: Callable[[], nn.Module],
    ):
        super().__init__()
        self.activation = activation()
        self.n_features = n_features
        self.sizes = [irrep.size for irrep in targets]
        n_scalars = len(targets)  # of each channel: the first irrep itself and the gates of all others
        self.couplings = nn.ModuleList(
            Coupling(sources, irrep, l_max, n_features, n_scalars if irrep == SCALAR else 1) for irrep in targets
        )
        n_paths = [coupling.n_paths for coupling in self.couplings]
        self.radial = RadialNetwork(n_basis, n_features, n_paths, activation)

    def forward(self, features: Tensor, numbers: Tensor, edges: Edges, harmonics: Tensor) -> Tensor:
        """(n_atoms, source components, n_features) -> (n_atoms, target components, n_features).

        harmonics: (n_edges, (l_max + 1)^2), times what an edge counts in sums.
        """
        strengths = self.radial(numbers, edges)
        neighbors = features.index_select(0, edges.target)
        scalars, *tensors = (
            coupling(features, neighbors, harmonics, strength, edges.source)
            for coupling, strength in zip(self.couplings, strengths, strict=True)
        )
        scalar, *gates = scalars.split(self.n_features, dim=2)
        gated = [tensor * torch.sigmoid(gate) for tensor, gate in zip(tensors, gates, strict=True)]
        return torch.cat([self.activation(scalar), *gated], dim=1)


class RadialNetwork(nn.Module):
    """How much an edge contributes to each path and channel, by its distance and the species of its ends."""

    def __init__(self, n_basis: int, n_features: int, n_paths: list[int], activation: Callable[[], nn.Module]):
        super().__init__()
        self.activation = activation()
        self.shapes = [(n, n_features) for n in n_paths]
        self.radial = nn.Linear(n_basis, n_features)
        self.source_species = nn.Embedding(MAX_ATOMIC_NUMBER + 1, n_features)
        self.target_species = nn.Embedding(MAX_ATOMIC_NUMBER + 1, n_features)
        self.strength = nn.Linear(n_features, sum(n_paths) * n_features)

    def forward(self, numbers: Tensor, edges: Edges) -> list[Tensor]:
        """For every target (n_edges, n_paths, n_features)."""
        species = self.source_species(numbers[edges.source]) + self.target_species(numbers[edges.target])
        hidden = self.activation(self.radial(edges.radial) * species)
        parts = self.strength(hidden).split([n * features for n, features in self.shapes], dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]


class Coupling(nn.Module):
    """All paths to one irrep, summed over neighbours and mixed with what the atom has of it already.

    n_outputs: how many times n_features channels come out.
    """

    def __init__(self, sources: list[Irrep], target: Irrep, l_max: int, n_features: int, n_outputs: int):
        super().__init__()
        paths = paths_to(target, sources, l_max)
        self.n_paths, self.size = len(paths), target.size
        starts = {irrep: sum(s.size for s in sources[:i]) for i, irrep in enumerate(sources)}
        self.own = slice(starts[target], starts[target] + target.size) if target in starts else None
        self.keep = nn.Linear(n_features, n_outputs * n_features, bias=False) if target in starts else None
        self.mix = nn.Linear(self.n_paths * n_features, n_outputs * n_features, bias=False)
        width = sum(source.size for source in sources)
        self.register_buffer("symbols", symbols(paths, target, starts, width, l_max), persistent=False)

    def _apply(self, fn, recurse: bool = True) -> "Coupling":
        """The symbols move but are never rounded: a model of float32 that becomes one of float64 is equivariant."""
        exact = self.symbols
        super()._apply(fn, recurse)
        self.symbols = exact.to(self.symbols.device)
        return self

    def forward(
        self, features: Tensor, neighbors: Tensor, harmonics: Tensor, strength: Tensor, source: Tensor
    ) -> Tensor:
        """(n_atoms, size, n_outputs * n_features).

        features: (n_atoms, source components, n_features). neighbors: the same of the targets of the edges.
        strength: (n_edges, n_paths, n_features). source: (n_edges,) int64.
        """
        operator = harmonics @ self.symbols.to(harmonics.dtype).flatten(1)
        operator = operator.view(len(source), self.n_paths * self.size, neighbors.shape[1])
        coupled = (operator @ neighbors).unflatten(1, (self.n_paths, self.size)) * strength[:, :, None]
        received = sum_by_source(coupled, source, len(features))
        mixed = self.mix(received.transpose(1, 2).flatten(2))
        return mixed if self.own is None else mixed + self.keep(features[:, self.own])


class SumBySource(torch.autograd.Function):
    """Sums over the edges of each source; `index_add` would keep what it adds, for its shape alone."""

    @staticmethod
    def forward(ctx, values: Tensor, source: Tensor, n_atoms: int) -> Tensor:
        """(n_edges, ...), source (n_edges,) int64 -> (n_atoms, ...)."""
        ctx.save_for_backward(source)
        return values.new_zeros(n_atoms, *values.shape[1:]).index_add_(0, source, values)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Every edge has the gradient of its source."""
        return gradient.index_select(0, ctx.saved_tensors[0]), None, None


def sum_by_source(values: Tensor, source: Tensor, n_atoms: int) -> Tensor:
    """Sums over the edges of each source: values (n_edges, ...), source (n_edges,) int64 -> (n_atoms, ...)."""
    if torch.compiler.is_compiling():  # which takes no second derivatives of a Function
        return summed(values, source, n_atoms)
    return SumBySource.apply(values, source, n_atoms)


def summed(values: Tensor, source: Tensor, n_atoms: int) -> Tensor:
    """The same, left to autograd."""
    return values.new_zeros(n_atoms, *values.shape[1:]).index_add(0, source, values)


def symbols(
    paths: list[tuple[Irrep, int]], target: Irrep, starts: dict[Irrep, int], width: int, l_max: int
) -> Tensor:
    """Wigner 3j symbols of all paths: ((l_max + 1)^2, n_paths * target components, source components), float64.

    Scaled so that components of mean square 1 give components of mean square 1.
    """
    from e3nn.o3 import wigner_3j

    values = torch.zeros((l_max + 1) ** 2, len(paths), target.size, width, dtype=torch.float64)
    for path, (source, degree) in enumerate(paths):
        harmonic = slice(degree**2, (degree + 1) ** 2)
        component = slice(starts[source], starts[source] + source.size)
        symbol = sqrt(target.size) * wigner_3j(degree, target.degree, source.degree, dtype=torch.float64)
        values[harmonic, path, :, component] = symbol
    return values.flatten(1, 2)
