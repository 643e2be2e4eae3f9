"""Numbers of the configuration that no run can have: refused by their key, before anything is built from them."""

from collections.abc import Callable
from math import inf

from omegaconf import DictConfig, OmegaConf

RANGES: dict[str, tuple[Callable[[float], bool], tuple[str, ...]]] = {
    "between 0 and 4294967295": (lambda value: 0 <= value < 2**32, ("seed",)),
    "between 0 and 1": (
        lambda value: 0 <= value <= 1,
        ("callbacks.ema.decay", "schedule.warmup", "schedule.final"),
    ),
    "a number of at least 0": (
        lambda value: 0 <= value < inf,
        (
            "batching.workers",
            "callbacks.bsct.n_worst",
            "loss.energy_weight",
            "loss.forces_weight",
            "loss.stress_weight",
            "model.backbone.directions",
            "model.backbone.l_max",
            "optimizer.lr",
            "optimizer.weight_decay",
            "trainer.gradient_clip_val",
        ),
    ),
    "a number above 0": (
        lambda value: 0 < value < inf,
        (
            "loss.delta",
            "model.attention.norm_eps",
            "model.attention.tau",
            "model.backbone.norm_eps",
            "model.backbone.mean_neighbors",
            "model.basis.width",
            "model.neighbors.cutoff",
            "model.neighbors.fade",
            "model.neighbors.rank_width",
            "model.neighbors.temperature",
            "model.repulsion.reach",
        ),
    ),
    "at least 1": (
        lambda value: 1 <= value < inf,
        (
            "batching.max_atoms",
            "callbacks.bsct.draw_every",
            "callbacks.bsct.every_n_epochs",
            "callbacks.bsct.max_atoms",
            "model.attention.n_heads",
            "model.backbone.expansion",
            "model.backbone.n_features",
            "model.backbone.n_layers",
            "model.basis.n_basis",
            "model.neighbors.n_neighbors",
            "threads",
            "trainer.max_epochs",
        ),
    ),
}
"""What is allowed, in words -> whether a number is allowed, and the keys that this is said of. NaN is never allowed."""


def check_ranges(config: DictConfig) -> None:
    """Raise ValueError naming a key whose number is out of range; keys that are absent or null are passed over."""
    for words, (is_allowed, keys) in RANGES.items():
        for key in keys:
            value = OmegaConf.select(config, key)
            if isinstance(value, int | float) and not is_allowed(value):
                raise ValueError(f"{key}: {value} is not {words}")
