"""Rectified linear unit, max(x, 0): a kink at 0, so that forces jump wherever a unit turns on. To show what breaks."""

from torch import nn


class ReLU(nn.ReLU):
    """Only its values are continuous."""

    continuity_order = 0
