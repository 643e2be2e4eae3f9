"""What each kind of block takes, returns and promises.

Blocks see plain tensors only. Dimension names used throughout:
n_atoms, n_edges (directed pairs), n_basis (radial functions), n_features (channels),
n_tokens (edges of one centre plus its self token, padded).

An edge (i, j, S) has displacement = positions[j] + S @ cell - positions[i]. Edges are sorted by their
source i, and the set is symmetric: `reverse[e]` is the index of (j, i, -S).

Neighbour selections, envelopes, bases, attentions and activations declare a `continuity_order`: how many derivatives of
what they return are continuous functions of the positions. `math.inf`: all; 0: only the values; -1: not even these.
Other blocks may, and promise all if they do not: with edges that leave at weight 0 and smooth activations, what they
return is smooth. The order of a potential is the least of its blocks' (`Potential.continuity_order`); tests measure it.
"""

from typing import TYPE_CHECKING, NamedTuple, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from mlip_design.blocks.token_layout import TokenLayout


class Edges(NamedTuple):
    """The edges that survived neighbour selection, with everything a backbone may use of them."""

    source: Tensor
    """(n_edges,) int64, the centre i; ascending."""
    target: Tensor
    """(n_edges,) int64, the neighbour j."""
    reverse: Tensor
    """(n_edges,) int64, index of the opposite edge (j, i, -S); an involution."""
    displacement: Tensor
    """(n_edges, 3), Å, from i to j."""
    distance: Tensor
    """(n_edges,), Å, positive."""
    weight: Tensor
    """(n_edges,), dimensionless, in [0, 1]; goes to 0 where the edge leaves the graph."""
    log_weight: Tensor
    """(n_edges,), ln(weight), dimensionless, finite."""
    radial: Tensor
    """(n_edges, n_basis), dimensionless, radial basis of `distance`, not yet weighted."""
    slot: Tensor
    """(n_edges,) int64, place of the edge among those of its source, from 0."""
    n_slots: int
    """The largest number of edges of any source."""


class NeighborSelection(Protocol):
    """Gives every candidate edge a reduced distance x; the edge belongs to the graph where x < 1.

    `cutoff` (Å) bounds the candidates: every pair closer than it must be offered, and gets x >= d / cutoff. An edge
    and its reverse get the same x. The order is that of x; a candidate that comes or goes at the cutoff must change
    no other x.
    """

    cutoff: float
    continuity_order: float

    def __call__(self, distance: Tensor, source: Tensor, reverse: Tensor, n_atoms: int) -> Tensor:
        """(n_edges,) distances in Å -> (n_edges,) reduced distances x >= 0, dimensionless."""
        ...


class Envelope(Protocol):
    """A weight that falls from 1 at x = 0 to 0 at x = 1.

    The order is the number of derivatives that vanish at x = 1 (0: only the value does; -1: not even the value).
    """

    continuity_order: float

    def __call__(self, reduced: Tensor) -> tuple[Tensor, Tensor]:
        """Reduced distances (n_edges,) in [0, 1) -> (weight, ln weight), each (n_edges,), dimensionless."""
        ...


class RadialBasis(Protocol):
    """Functions of the distance, from 0 to the cutoff; weighting there is the envelope's work."""

    n_basis: int
    continuity_order: float

    def __call__(self, distance: Tensor) -> Tensor:
        """(n_edges,) Å -> (n_edges, n_basis), dimensionless."""
        ...


class Attention(Protocol):
    """Mixes the tokens of each centre. A token of weight 0 must not influence any other."""

    continuity_order: float

    def __call__(self, tokens: Tensor, layout: "TokenLayout", selves_only: bool = False) -> Tensor:
        """Mixed tokens (n_tokens, n_features), dimensionless, of tokens in the same shape.

        layout: which tokens belong to which centre, their weights and angles, see `blocks.token_layout`. selves_only:
        only self tokens, the first n_atoms, are wanted back.
        """
        ...


class Backbone(Protocol):
    """Turns species and edges into one feature vector an atom. An edge of weight 0 must not influence any.

    `equivariant` tells whether the features stay when all displacements are turned.
    """

    n_features: int
    equivariant: bool

    def __call__(self, numbers: Tensor, edges: Edges) -> Tensor:
        """numbers (n_atoms,) int64 -> atom features (n_atoms, n_features), dimensionless."""
        ...


class Readout(Protocol):
    """Atom features -> atomic energies, in units of the potential's energy scale.

    `conservative` tells that forces are the derivative of these energies. A readout where it is False also has
    `forces(features, edges) -> (n_atoms, 3)`, in units of the potential's force scale; there is no stress then.
    """

    conservative: bool

    def __call__(self, features: Tensor) -> Tensor:
        """(n_atoms, n_features) -> (n_atoms,), dimensionless."""
        ...


class Repulsion(Protocol):
    """Short-range pair energy that the network need not learn."""

    def __call__(self, numbers: Tensor, edges: Edges) -> Tensor:
        """numbers (n_atoms,) int64 -> (n_atoms,), eV."""
        ...
