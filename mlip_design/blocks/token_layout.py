"""Where tokens sit: in rows of their own for what each does alone, side by side for what those of a centre do together.

Centres have more and fewer edges, so that side by side a third of the places of molecules are padding. Norms,
projections and networks, which take one token at a time, do without.
"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor

from mlip_design.blocks.contracts import Edges


class Geometry(NamedTuple):
    """Of the tokens of each centre side by side: the self token, its edges, padding."""

    weight: Tensor
    """(n_atoms, width), dimensionless; 0 at padding."""
    log_weight: Tensor
    """(n_atoms, width); -inf at padding."""
    legendre: Tensor
    """(n_atoms, l_max + 1, width, width), P_l of the cosine between two edges."""


class TokenLayout:
    """A token for each of n_atoms centres, then one for each edge in the order of the edges.

    l_max: highest Legendre order of the angle between two edges.
    """

    def __init__(self, edges: Edges, n_atoms: int, l_max: int):
        centres = torch.arange(n_atoms + 1, device=edges.source.device)
        self.n_atoms = n_atoms
        self.l_max = l_max
        self.width = edges.n_slots + 1
        """Largest number of tokens of any centre."""
        self.first = torch.searchsorted(edges.source, centres)
        """(n_atoms + 1,) int64, the first edge of each centre, and the number of edges."""
        self.places = torch.cat([centres[:-1] * self.width, edges.source * self.width + 1 + edges.slot])
        """(n_tokens,) int64, where each token stands side by side with the others of its centre."""
        self.tokens = torch.full((n_atoms * self.width,), len(self.places), device=centres.device)
        self.tokens = self.tokens.index_copy(0, self.places, torch.arange(len(self.places), device=centres.device))
        """(n_atoms * width,) int64, which token stands at each place; n_tokens at padding."""
        self.opposite = torch.cat([centres[:-1], n_atoms + edges.reverse])
        """(n_tokens,) int64, the token of the opposite edge; self tokens are their own."""
        self.weight = torch.cat([edges.weight.new_ones(n_atoms), edges.weight])
        """(n_tokens,), dimensionless; 1 for self tokens."""
        self.log_weight = torch.cat([edges.weight.new_zeros(n_atoms), edges.log_weight])
        """(n_tokens,); 0 for self tokens."""
        unit = edges.displacement / edges.distance[:, None]
        self.unit = torch.cat([unit.new_zeros(n_atoms, 3), unit])
        """(n_tokens, 3), directions of the edges; self tokens have the zero vector (cosine 0 with all)."""
        self._geometry: Geometry | None = None

    def moved(self, weight: Tensor, log_weight: Tensor, unit: Tensor) -> "TokenLayout":
        """The same tokens with weights and directions of their own."""
        other = copy.copy(self)
        other.weight, other.log_weight, other.unit, other._geometry = weight, log_weight, unit, None
        return other

    @property
    def geometry(self) -> Geometry:
        """Weights and angles side by side; made once, and not for kernels that do without."""
        if self._geometry is None:
            unit = self.side_by_side(self.unit)
            self._geometry = Geometry(
                self.side_by_side(self.weight),
                self.side_by_side(self.log_weight, -torch.inf),
                legendre_polynomials(unit @ unit.transpose(1, 2), self.l_max),
            )
        return self._geometry

    def side_by_side(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """(n_tokens, ...) -> (n_atoms, width, ...), the same at all padding."""
        if torch.compiler.is_compiling():  # which takes no second derivatives of a Function
            padded = picked(values, self.tokens, fill)
        else:
            padded = SideBySide.apply(values, self.places, self.tokens, fill)
        return padded.unflatten(0, (self.n_atoms, self.width))

    def in_rows(self, padded: Tensor) -> Tensor:
        """(n_atoms, width, ...) -> (n_tokens, ...)."""
        padded = padded.flatten(0, 1)
        if torch.compiler.is_compiling():
            return padded.index_select(0, self.places)
        return InRows.apply(padded, self.places, self.tokens)


def picked(values: Tensor, tokens: Tensor, fill: float) -> Tensor:
    """Rows of values (n_tokens, ...) by `tokens`, n_tokens for a row that is filled."""
    return torch.cat([values, values.new_full((1, *values.shape[1:]), fill)]).index_select(0, tokens)


class SideBySide(torch.autograd.Function):
    """Use `TokenLayout.side_by_side`. Derivatives are gathered, too, not scattered: no place has two tokens."""

    @staticmethod
    def forward(ctx, values: Tensor, places: Tensor, tokens: Tensor, fill: float) -> Tensor:
        """(n_atoms * width, ...)."""
        ctx.save_for_backward(places, tokens)
        return picked(values, tokens, fill)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Padding depends on nothing."""
        return InRows.apply(gradient, *ctx.saved_tensors), None, None, None


class InRows(torch.autograd.Function):
    """Use `TokenLayout.in_rows`."""

    @staticmethod
    def forward(ctx, padded: Tensor, places: Tensor, tokens: Tensor) -> Tensor:
        """(n_tokens, ...)."""
        ctx.save_for_backward(places, tokens)
        return padded.index_select(0, places)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Nothing depends on padding."""
        return SideBySide.apply(gradient, *ctx.saved_tensors, 0.0), None, None


def legendre_polynomials(cosine: Tensor, l_max: int) -> Tensor:
    """P_0 .. P_l_max by Bonnet's recurrence: (n_atoms, width, width) -> (n_atoms, l_max + 1, ...)."""
    values = [torch.ones_like(cosine), cosine]
    for order in range(2, l_max + 1):
        values.append(((2 * order - 1) * cosine * values[-1] - (order - 1) * values[-2]) / order)
    return torch.stack(values[: l_max + 1], dim=1)
