"""The infinitely differentiable step: S(u) = 0 for u <= 0, 1 for u >= 1, and between them

S(u) = sigmoid(h(u)),   h(u) = 1 / (1 - u) - 1 / u,

which leaves both ends with all derivatives 0.
"""

import torch
from torch import Tensor

MARGIN = 1e-3
"""From the ends: exp(-1 / MARGIN) is no number any more, in float64 either."""


def smooth_step(place: Tensor) -> Tensor:
    """S of any tensor, dimensionless -> the same shape, in [0, 1]."""
    return torch.sigmoid(steepened(place))


def log_smooth_step(place: Tensor) -> Tensor:
    """ln S, as low as -1 / MARGIN: the same shape."""
    return torch.nn.functional.logsigmoid(steepened(place))


def smooth_step_slope(place: Tensor) -> Tensor:
    """dS/du: the same shape; 0 outside of (0, 1)."""
    inside = place.clamp(MARGIN, 1 - MARGIN)
    height = torch.sigmoid(steepened(place))
    return height * (1 - height) * ((1 - inside) ** -2 + inside**-2)


def steepened(place: Tensor) -> Tensor:
    """h of any tensor, constant within MARGIN of the ends and beyond."""
    rising = place.clamp(MARGIN, 1.0)
    falling = (1 - place).clamp(MARGIN, 1.0)
    return 1 / falling - 1 / rising
