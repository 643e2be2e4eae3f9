"""The bases of e3nn's `soft_one_hot_linspace`, by their names there, as far as they are smooth.

| basis         | e3nn's cutoff: false | true             |
|---------------|----------------------|------------------|
| gaussian      | C-infinity           | C-infinity       |
| smooth_finite | C-infinity           | C-infinity       |
| fourier       | C-infinity           | a kink, refused  |
| bessel        | C-infinity           | a kink, refused  |
| cosine        | kinks, refused       | kinks, refused   |

The functions of cosine end with a slope. e3nn's `cutoff` moves the centres of gaussian and smooth_finite inwards, so
that they have faded at r_c; it cuts fourier and bessel off, whose slopes there are not 0. The envelope takes edges to 0
at r_c with any of them.
"""

import math

from e3nn.math import soft_one_hot_linspace
from torch import Tensor, nn

SMOOTH = {"gaussian": (False, True), "smooth_finite": (False, True), "fourier": (False,), "bessel": (False,)}
"""Name of a basis -> the values of e3nn's `cutoff` with which it is infinitely differentiable."""


class E3nnOneHot(nn.Module):
    """cutoff: r_c, Å. n_basis: number of functions. basis: its name in e3nn. e3nn_cutoff: what e3nn calls cutoff."""

    continuity_order = math.inf

    def __init__(self, cutoff: float, n_basis: int, basis: str, e3nn_cutoff: bool):
        super().__init__()
        if e3nn_cutoff not in SMOOTH.get(basis, ()):
            allowed = ", ".join(f"{name} ({' or '.join(map(str, flags))})" for name, flags in SMOOTH.items())
            raise ValueError(
                f"basis e3nn_one_hot: basis = {basis!r} with e3nn_cutoff = {e3nn_cutoff} is unknown or has kinks; "
                f"smooth ones and their e3nn_cutoff: {allowed}"
            )
        self.n_basis = n_basis
        self.cutoff = cutoff
        self.basis = basis
        self.e3nn_cutoff = e3nn_cutoff

    def forward(self, distance: Tensor) -> Tensor:
        """(n_edges,) Å -> (n_edges, n_basis), dimensionless, of mean square about 1 / n_basis."""
        return soft_one_hot_linspace(
            distance, 0.0, self.cutoff, self.n_basis, basis=self.basis, cutoff=self.e3nn_cutoff
        )
