"""Forces straight from features, not from a derivative: cheap to train, and not conservative.

F_i = sum over neighbours j of w_ij f(h_i, h_j, radial_ij) u_ij

f is a two-layer network and u_ij the direction from i to j, so forces turn with the structure where features are
invariant, and fade with the edge. Energies are those of `gradient`, by the same network, and owe the forces nothing:
work along closed paths, net forces and torques remain, and there is no stress. For pre-training (a `gradient` readout
can start from the weights), and as what tests of conservation must catch. Repulsion is part of the energies alone.
"""

from collections.abc import Callable

from torch import Tensor, nn

from mlip_design.blocks.contracts import Edges
from mlip_design.blocks.readout.gradient import GradientReadout


class DirectReadout(GradientReadout):
    """Two two-layer networks.

    n_features: channels of an atom. n_basis: radial functions an edge comes with. activation: makes a non-linearity.
    """

    conservative = False

    def __init__(self, n_features: int, n_basis: int, activation: Callable[[], nn.Module]):
        super().__init__(n_features, activation)
        self.activation = activation()
        self.source = nn.Linear(n_features, n_features)
        self.target = nn.Linear(n_features, n_features, bias=False)
        self.radial = nn.Linear(n_basis, n_features, bias=False)
        self.strength = nn.Linear(n_features, 1)

    def forces(self, features: Tensor, edges: Edges) -> Tensor:
        """(n_atoms, n_features) -> (n_atoms, 3), in units of the potential's force scale."""
        ends = self.source(features).index_select(0, edges.source)
        ends = ends + self.target(features).index_select(0, edges.target) + self.radial(edges.radial)
        strength = self.strength(self.activation(ends)).squeeze(-1) * edges.weight
        pulls = (strength / edges.distance)[:, None] * edges.displacement
        return pulls.new_zeros(len(features), 3).index_add(0, edges.source, pulls)
