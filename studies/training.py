"""Training the variants, each with its seeds in a folder of its own: OUT/SETTING/VARIANT/seed_N."""

import re
from collections.abc import Sequence
from pathlib import Path

from mlip_design.selection.retrain import Training
from studies.settings import Setting
from studies.variants import SEEDED, VARIANTS


def plan(out: Path, setting: Setting, n_seeds: int, overrides: Sequence[str]) -> list[Training]:
    """All trainings of a setting, the first seed of every variant before the second of any.

    n_seeds: of the variants that have several. overrides: of all of them, beside the budget.
    """
    return [
        Training(
            name,
            [*VARIANTS[name], *setting.budget, *overrides],
            seed,
            out / setting.name / folder_name(name) / f"seed_{seed}",
        )
        for seed in range(1, n_seeds + 1)
        for name in setting.variants
        if seed == 1 or name in SEEDED
    ]


def folder_name(variant: str) -> str:
    """A variant as a file system likes it."""
    return re.sub(r"\W+", "_", variant)
