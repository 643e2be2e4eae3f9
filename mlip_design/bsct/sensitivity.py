"""How much the mean FSD owes to the floor e of its formula and to the spacing of the frames."""

from collections.abc import Sequence

import numpy as np

from mlip_design.bsct.scan import Prediction, Scan
from mlip_design.bsct.score import METRIC_KEYS, STRESS_KEYS, score_scan, zero_force_score

SMOOTHNESS_KEYS = tuple(key for key in METRIC_KEYS if key.endswith("smoothness"))
CHOICES = ((0.1, 1), (0.3, 1), (1.0, 1), (3.0, 1), (1.0, 2))
"""Floor (eV/Å) and stride; (1.0, 1) is as published."""


def sensitivity(predicted: Sequence[tuple[Scan, Prediction]]) -> list[dict[str, float | None]]:
    """Rows of `floor` (eV/Å), `every` and the mean FSD (1/Å) of the model and, as `zero_<key>`, of zero forces.

    predicted: scans and what the model says of them, all finite; where some have stresses, `stress_smoothness` is the
    mean over these. Every second frame: those that have the equilibrium frame among them; a scan of fewer than three
    has none of them.
    """
    return [_row(predicted, floor, every) for floor, every in CHOICES] if predicted else []


def _row(predicted: Sequence[tuple[Scan, Prediction]], floor: float, every: int) -> dict[str, float | None]:
    scores = []
    for scan, prediction in predicted:
        chosen = slice(scan.equilibrium % every, None, every)
        if len(scan.lengths[chosen]) >= 2:
            thinned = scan.frames(chosen)
            model = score_scan(thinned, *(values[chosen] for values in prediction), floor=floor)
            scores.append(model | zero_force_score(thinned, floor))
    stressed = any(scan.stresses is not None for scan, _ in predicted)
    keys = (*SMOOTHNESS_KEYS, *(STRESS_KEYS[:1] if stressed else ()))
    row = {"floor": floor, "every": every}
    for key in [*keys, *(f"zero_{key}" for key in keys)]:
        values = [score[key] for score in scores if key in score]
        row[key] = float(np.mean(values)) if values else None
    return row
