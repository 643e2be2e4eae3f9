"""Energies along one path by the model and by the reference: error, height, minima. Unit: eV.

Energies are taken relative to those of the frame that is lowest in the reference, in both. The error is a root mean
square over the frames that count; the height is the largest energy less the lowest among them. Frames that one of the
two gives no energy for do not count.
"""

from collections.abc import Sequence

import numpy as np

from mlip_design.properties.case import Case
from mlip_design.properties.measured import Failed, Figure, Line, Measured, Quantity, difference
from mlip_design.structures import Structure

RIPPLE = 0.001
"""eV; a minimum with a lower rim on one side counts as none."""


def curve(
    case: Case, part: str, height: str, axis: str, x: np.ndarray, frames: Sequence[Structure], below: float | None
) -> Measured:
    """A path. part: what it is of. height: what its height is called. axis: what x, (n_frames,), is, with its unit.

    below: eV above the lowest energy of the reference, up to which frames count; None: what the reference gives at the
    end of the path, where everything is apart. Raises Failed if fewer than three frames can be compared.
    """
    reference, model = (evaluate(frames).energies for evaluate in (case.reference, case.model))
    label = f"{part}: " if part else ""
    known = np.isfinite(reference) & np.isfinite(model)
    if known.sum() < 3:
        raise Failed(f"{label}{known.sum()} of {len(x)} frames have an energy in both")
    lowest = np.flatnonzero(known)[reference[known].argmin()]
    reference, model = (energies[known] - energies[lowest] for energies in (reference, model))
    counted = reference <= (reference[-1] if below is None else below)
    error = float(np.sqrt(np.mean((model - reference)[counted] ** 2)))
    missing = len(x) - int(known.sum())
    lines = [
        Line("reference", x[known].tolist(), reference.tolist()),
        Line("model", x[known].tolist(), model.tolist()),
    ]
    return Measured(
        [
            Quantity("RMSE", "eV", None, None, error, part),
            difference(height, "eV", np.ptp(reference[counted]), np.ptp(model[counted]), part),
            difference("minima", "", minima(reference), minima(model), part),
        ],
        [Figure(part or "all atoms", axis, "energy (eV)", lines)],
        [f"{label}{missing} of {len(x)} frames have no energy"] if missing else [],
    )


def minima(energies: np.ndarray) -> int:
    """How many inner minima a curve has, (n_frames,), eV, each with a rim of at least `RIPPLE` on both sides."""
    return sum(depth(energies, k) >= RIPPLE for k in range(1, len(energies) - 1))


def depth(energies: np.ndarray, k: int) -> float:
    """How far one has to climb from point k to anything lower, or to the end; 0 for what is no minimum."""
    climbs = []
    for side, is_lower in ((energies[k::-1], np.less_equal), (energies[k:], np.less)):  # of equal ones the first
        lower = np.flatnonzero(is_lower(side[1:], side[0]))
        climbs.append(side[: lower[0] + 1 if len(lower) else None].max() - side[0])
    return min(climbs)


def joined(parts: Sequence[Measured]) -> Measured:
    """Several curves as one property."""
    return Measured(
        [quantity for part in parts for quantity in part.quantities],
        [figure for part in parts for figure in part.figures],
        [note for part in parts for note in part.notes],
    )
