"""Atomic energies from atom features; forces are the gradient of their sum, so they are conservative."""

from collections.abc import Callable

from torch import Tensor, nn


class GradientReadout(nn.Module):
    """A two-layer network. n_features: channels of an atom. activation: makes its non-linearity."""

    conservative = True

    def __init__(self, n_features: int, activation: Callable[[], nn.Module]):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(n_features, n_features), activation(), nn.Linear(n_features, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(n_atoms, n_features) -> (n_atoms,), in units of the potential's energy scale."""
        return self.network(features).squeeze(-1)
