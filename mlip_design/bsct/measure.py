"""All that is measured of a model along one scan: the scores of `score`, and what the score alone does not show.

Aligned energy error: mean of |E - R - median(E - R)|, E the model's and R the reference energies; the offset of total
energies, which no force sees, is gone.

Minima: interior minima of the energy along the scan that lie more than `DEPTH` below the lower of the two barriers
beside them. Those of the model beyond the number that the reference has are artificial, and the shallowest are taken
for them.

Closure: with the work of the forces along the path, W(a) = -integral of F.(dx/da) da (a cubic spline through the
frames), E - W is constant for a conservative model; closure is its largest minus its smallest value, in eV. That of
the reference shows the error of the integral. Along a volume the work is that of the stress, W(a) = n_atoms times the
integral of trace(P) da, with P of `curves`.
"""

from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import find_peaks

from mlip_design.bsct.curves import face_forces, leading_curves
from mlip_design.bsct.predict import Predicted
from mlip_design.bsct.scan import Prediction, Scan
from mlip_design.bsct.score import METRIC_KEYS, STRESS_KEYS, score_scan, zero_force_score

KEYS = (*METRIC_KEYS, "aligned_energy_mae")
DEPTH = 0.01
"""eV."""


def measure(scan: Scan, predicted: Predicted) -> dict[str, Any]:
    """One entry of "systems" in the result: docs/bsct.md says what is in it. Lengths in Å, energies in eV."""
    energies, prediction = predicted.energies, predicted.prediction
    scores = score_scan(scan, *prediction) | {"aligned_energy_mae": aligned_energy_mae(scan, energies)}
    failure = predicted.failure
    if failure is None and not np.isfinite(list(scores.values())).all():
        failure = "forces are too large to score"
    model, reference = minima(scan.lengths, energies), minima(scan.lengths, scan.energies)
    return {
        "bond": scan.bond,
        "atoms": len(scan.numbers),
        "frames": len(scan.lengths),
        **{key: scores[key] for key in (*KEYS, *STRESS_KEYS) if key in scores},
        **zero_force_score(scan),
        "equilibrium": float(scan.lengths[scan.equilibrium]),
        "steepest": steepest_length(scan, prediction),
        "zero_steepest": steepest_length(scan, tuple(map(np.zeros_like, scan.labels))),
        "minima": {
            **{"lengths": model[0].tolist(), "depths": model[1].tolist()},
            **{"reference_lengths": reference[0].tolist(), "reference_depths": reference[1].tolist()},
            "artificial": np.sort(model[1])[::-1][len(reference[1]) :].tolist(),
        },
        "closure": closure(scan, *prediction),
        "reference_closure": closure(scan, *scan.labels),
        "failure": failure,
    }


def aligned_energy_mae(scan: Scan, energies: np.ndarray) -> float:
    """Mean absolute error of energies (n_frames,), eV, without their median offset, eV."""
    if not np.isfinite(energies).all():
        return float("nan")
    errors = energies - scan.energies
    return float(np.abs(errors - np.median(errors)).mean())


def steepest_length(scan: Scan, prediction: Prediction) -> float:
    """Middle of the interval, Å, whose slope is the full FSD, of the stress where there is one; or else NaN."""
    curves = leading_curves(scan, prediction)
    if not np.isfinite(curves.slope).all():
        return float("nan")
    steepest = curves.steepest
    return float(scan.lengths[steepest : steepest + 2].mean())


def minima(lengths: np.ndarray, energies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths (Å) and depths (eV) of the interior minima of energies (n_frames,), eV, deeper than `DEPTH`.

    None where an energy is not finite.
    """
    if not np.isfinite(energies).all():
        return np.empty(0), np.empty(0)
    places, found = find_peaks(-energies, prominence=DEPTH)
    return lengths[places], found["prominences"]


def closure(scan: Scan, energies: np.ndarray, forces: np.ndarray, stresses: np.ndarray | None = None) -> float:
    """Spread of E - W along the path, eV; NaN if a prediction is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        if stresses is None:
            velocities = CubicSpline(scan.lengths, scan.positions)(scan.lengths, 1)
            along_path = (forces * velocities).sum(axis=(1, 2))
        else:
            along_path = -len(scan.numbers) * np.trace(face_forces(scan, stresses), axis1=1, axis2=2)
        if not (np.isfinite(energies).all() and np.isfinite(along_path).all()):
            return float("nan")
        work = -CubicSpline(scan.lengths, along_path).antiderivative()(scan.lengths)
        return float(np.ptp(energies - work))
