"""No repulsion beside what the network learns."""

from torch import Tensor, nn

from mlip_design.blocks.contracts import Edges


class NoRepulsion(nn.Module):
    """Zero for every atom."""

    def forward(self, numbers: Tensor, edges: Edges) -> Tensor:
        """numbers (n_atoms,) -> (n_atoms,) zeros, eV."""
        return edges.distance.new_zeros(len(numbers))
