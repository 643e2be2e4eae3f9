"""Sigmoid-weighted linear unit, x sigmoid(x) (arXiv:1702.03118): infinitely differentiable, of curvature up to 1/2."""

import math

from torch import nn


class SiLU(nn.SiLU):
    """The default."""

    continuity_order = math.inf
