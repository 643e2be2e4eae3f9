"""How much the mean FSD owes to the floor e of its formula and to the spacing of the frames."""

from collections.abc import Sequence

import numpy as np

from mlip_design.bsct.scan import Scan
from mlip_design.bsct.score import METRIC_KEYS, score_scan

SMOOTHNESS_KEYS = tuple(key for key in METRIC_KEYS if key.endswith("smoothness"))
CHOICES = ((0.1, 1), (0.3, 1), (1.0, 1), (3.0, 1), (1.0, 2))
"""Floor (eV/Å) and stride; (1.0, 1) is as published."""


def sensitivity(predicted: Sequence[tuple[Scan, np.ndarray]]) -> list[dict[str, float | None]]:
    """Rows of `floor` (eV/Å), `every` and the mean FSD (1/Å) of the model and, as `zero_<key>`, of zero forces.

    predicted: scans and the model's forces along them, (n_frames, n_atoms, 3), eV/Å, all finite. Every second frame:
    those that have the equilibrium frame among them; a scan of fewer than three has none of them.
    """
    return [_row(predicted, floor, every) for floor, every in CHOICES] if predicted else []


def _row(predicted: Sequence[tuple[Scan, np.ndarray]], floor: float, every: int) -> dict[str, float | None]:
    model, zero = [], []
    for scan, forces in predicted:
        chosen = slice(scan.equilibrium % every, None, every)
        if len(scan.lengths[chosen]) < 2:
            continue
        thinned = scan.frames(chosen)
        model.append(score_scan(thinned, thinned.energies, forces[chosen], floor))
        zero.append(score_scan(thinned, thinned.energies, np.zeros_like(thinned.forces), floor))
    row = {"floor": floor, "every": every}
    for prefix, scores in (("", model), ("zero_", zero)):
        means = {
            key: float(np.mean([score[key] for score in scores])) if scores else None for key in SMOOTHNESS_KEYS
        }
        row |= {f"{prefix}{key}": value for key, value in means.items()}
    return row
