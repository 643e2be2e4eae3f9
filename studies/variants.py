"""What is trained: name of a variant, as tables show it -> overrides of `train.py`.

Neighbours are selected with k = 6: the bundled molecules have 8 atoms on average, so that a larger k would hardly ever
leave one out, and all selections would be alike.
"""

K = "model.neighbors.n_neighbors=6"
LADDER = {name: [f"model={name}", K] for name in ("baseline", "diff_knn", "temperature", "smooth_attn")}
"""The paper's three steps, one after the other (arXiv:2602.04861)."""

FACTORS = {
    "neighbours": ("hard kNN", "differentiable kNN"),
    "temperature": ("tau 1", "tau > 1"),
    "basis": ("narrow", "broad"),
}
"""Factor -> its low and its high level."""
LEVELS = (
    ("model/neighbors=hard_knn", "model/neighbors=diff_knn"),
    ("model/attention=softmax", "model/attention=temperature"),
    ("model.basis.n_basis=256", "model.basis.n_basis=32"),
)
CELLS = {
    (0, 0, 0): "baseline",
    (1, 0, 0): "diff_knn",
    (1, 1, 0): "temperature",
    (0, 1, 0): "hard, tau",
    (0, 0, 1): "hard, broad",
    (0, 1, 1): "hard, tau, broad",
    (1, 0, 1): "diff, broad",
    (1, 1, 1): "diff, tau, broad",
}
"""Levels of the factors, 0 low and 1 high -> variant; three of them are rungs of the ladder."""
FACTORIAL = {
    name: ["model=baseline", K, *(pair[level] for pair, level in zip(LEVELS, levels, strict=True))]
    for levels, name in CELLS.items()
    if name not in LADDER
}

BEYOND = {
    "polynomial envelope": ["model=smooth_attn", K, "model/envelope=polynomial"],
    "adaptive cutoff": ["model=smooth_attn", "model/neighbors=adaptive_cutoff"],
    "curvature penalty": ["model=smooth_attn", K, "regularizer=curvature"],
    "equivariant": ["model=equivariant", K],
    "invariant": ["model=invariant", K],
    "sigmoid attention": ["model=smooth_attn", K, "model/attention=sigmoid"],
}
"""What may come after the last rung."""

OTHERS = {
    "ReLU": ["model=relu", K],
    "invariant, ReLU": ["model=invariant", K, "model/activation=relu"],
    "direct forces": ["model=smooth_attn", K, "model/readout=direct"],
    "direct forces, baseline": ["model=baseline", K, "model/readout=direct"],
    "smooth_attn, hard kNN": ["model=smooth_attn", K, "model/neighbors=hard_knn"],
    "radius": ["model=smooth_attn", "model/neighbors=radius"],
    "no envelope": ["model=smooth_attn", "model/neighbors=radius", "model/envelope=none"],
    "cosine envelope": ["model=smooth_attn", K, "model/envelope=cosine"],
    "linear attention": ["model=smooth_attn", K, "model/attention=linear"],
    "angular attention": ["model=smooth_attn", K, "model/attention=angular"],
    "Bessel basis": ["model=smooth_attn", K, "model/basis=bessel"],
    "Bernstein basis": ["model=smooth_attn", K, "model/basis=bernstein"],
    "equivariant, hard kNN": ["model=equivariant", K, "model/neighbors=hard_knn"],
    "invariant, hard kNN": ["model=invariant", K, "model/neighbors=hard_knn"],
}
"""One seed each, for the correlation alone: good ones and bad ones of every kind of block."""


N_SEEDS = 3
SEEDED = {**LADDER, **FACTORIAL, **BEYOND}
VARIANTS = {**SEEDED, **OTHERS}
