"""Learning rate over a run: linear warm-up, then a cosine down to a small rest."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, n_steps: int, warmup: float, final: float) -> LambdaLR:
    """Multiply every learning rate by a factor that depends on the step alone.

    n_steps: steps of the whole run. warmup: fraction of them with a linear rise. final: factor at the end.
    """
    rise = max(1, round(warmup * n_steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        progress = min(1.0, (step - rise) / max(1, n_steps - rise))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, factor)
