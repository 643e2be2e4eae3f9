"""Force Smoothness Deviation (FSD) of predicted forces along a bond scan.

With model forces F, reference forces G (eV/Å), bond lengths a (Å) and k the frame of lowest reference energy:

    sF = sum over atoms and axes of (F - G[k])^2        sG = the same of (G - G[k])^2
    L  = ln max(sF, e^2) - ln max(sG, e^2)              e = 1 eV/Å
    FSD = max over neighbouring frames of |diff(L) / diff(a)|, in 1/Å

Both deviations are taken from the *reference* force at k. The regions are full (every frame), compress
(frames up to k) and stretch (frames from k on). "windowed" is the full FSD over the intervals whose two frames
both lie more than `WINDOW` from the equilibrium length, where sG passes through zero and the maximum mostly sits.

Where the volume of a crystal is scanned and stresses are labelled, "stress_smoothness" (1/Å) is the full FSD of the
forces on the faces of the cube that an atom fills, see `curves`, and "stress_mae" (eV/Å^3) the mean absolute error of
the nine components of the stress, over all frames.

A region without an interval (k at an end) has an FSD of 0. A key that a non-finite prediction enters is NaN.

Source: arXiv:2602.04861; its published table is the unweighted mean over systems.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mlip_design.bsct.curves import checked, deviation_curves, stress_curves
from mlip_design.bsct.scan import Scan

REGIONS = ("full", "compress", "stretch")
PUBLISHED_KEYS = tuple(
    f"{region}_{key}" for region in REGIONS for key in ("smoothness", "energy_mae", "forces_mae")
)
METRIC_KEYS = (*PUBLISHED_KEYS, "windowed_smoothness")
STRESS_KEYS = ("stress_smoothness", "stress_mae")
"""Further keys of scans with stresses."""
WINDOW = 0.1  # Å


@dataclass(frozen=True)
class Summary:
    """Scores of a data set; `dataclasses.asdict` makes it ready for JSON.

    Attributes:
        count: number of systems.
        nonfinite: names of the systems with at least one non-finite key; they turn that key's statistics to NaN.
        mean, median, percentile_95: statistic over the systems that have a key, unweighted, by key.
        bond_mean: mean over the systems of a bond type, by bond type, then key.
    """

    count: int
    nonfinite: tuple[str, ...]
    mean: dict[str, float]
    median: dict[str, float]
    percentile_95: dict[str, float]
    bond_mean: dict[str, dict[str, float]]


def score_scan(
    scan: Scan, energies: np.ndarray, forces: np.ndarray, stresses: np.ndarray | None = None, *, floor: float = 1.0
) -> dict[str, float]:
    """Smoothness (1/Å), energy MAE (eV) and force MAE (eV/Å) of every region: the keys `METRIC_KEYS`.

    Args:
        energies: model energies, (n_frames,), eV, on the reference's scale.
        forces: model forces, (n_frames, n_atoms, 3), eV/Å.
        stresses: model stresses, (n_frames, 3, 3), eV/Å^3, of a scan that has them: adds the keys `STRESS_KEYS`.
        floor: e of the formula, eV/Å.
    """
    energies, forces = checked(scan, "energies", energies), checked(scan, "forces", forces)
    with np.errstate(over="ignore"):
        energy_errors, force_errors = np.abs(energies - scan.energies), np.abs(forces - scan.forces)
    steepness = np.abs(deviation_curves(scan, forces, floor).slope)

    score = {}
    for region, frames in zip(REGIONS, _regions(scan), strict=True):
        score[f"{region}_smoothness"] = _largest(steepness[frames.start : frames.stop - 1])
        score[f"{region}_energy_mae"] = _mean(energy_errors[frames])
        score[f"{region}_forces_mae"] = _mean(force_errors[frames])
    score["windowed_smoothness"] = _largest(steepness[_outside_window(scan)])
    return score if stresses is None else score | _stress_score(scan, stresses, floor)


def _stress_score(scan: Scan, stresses: np.ndarray, floor: float) -> dict[str, float]:
    """The keys `STRESS_KEYS`."""
    steepness = np.abs(stress_curves(scan, stresses, floor).slope)
    values = _largest(steepness), _mean(np.abs(np.asarray(stresses, dtype=np.float64) - scan.stresses))
    return dict(zip(STRESS_KEYS, values, strict=True))


def zero_force_score(scan: Scan, floor: float = 1.0) -> dict[str, float]:
    """Scores of zero forces, and of zero stress, the baseline of every model, as "zero_<key>"; none of energies."""
    score = score_scan(scan, scan.energies, *(np.zeros_like(label) for label in scan.labels[1:]), floor=floor)
    return {f"zero_{key}": value for key, value in score.items() if not key.endswith("energy_mae")}


def leading(score: Mapping[str, Any], prefix: str = "") -> Any:
    """What a score, or statistics by key, say of smoothness first: of the stress if it is scored, else the full FSD."""
    return score.get(f"{prefix}stress_smoothness", score[f"{prefix}full_smoothness"])


def aggregate(scores: Mapping[str, Mapping[str, float]], bonds: Mapping[str, str]) -> Summary:
    """Statistics over systems, every system counting the same.

    Args:
        scores: score of every system by name, all with the same keys but for those of the stress.
        bonds: bond type of every system by name.
    """
    if not scores:
        raise ValueError("no score to aggregate")
    shared = {key for key in next(iter(scores.values())) if not _of_stress(key)}
    for name, score in scores.items():
        if (found := {key for key in score if not _of_stress(key)}) != shared:
            raise ValueError(f"{name}: keys {sorted(found)} differ from {sorted(shared)}")
        if name not in bonds:
            raise ValueError(f"{name}: has a score but no bond type")

    groups = {}
    for name, score in scores.items():
        groups.setdefault(bonds[name], []).append(score)
    columns = _columns(scores.values())
    return Summary(
        count=len(scores),
        nonfinite=tuple(name for name, score in scores.items() if not np.isfinite(list(score.values())).all()),
        mean=_by_key(np.mean, columns),
        median=_by_key(np.median, columns),
        percentile_95=_by_key(partial(np.percentile, q=95), columns),
        bond_mean={bond: _by_key(np.mean, _columns(some)) for bond, some in sorted(groups.items())},
    )


def _of_stress(key: str) -> bool:
    return key.removeprefix("zero_") in STRESS_KEYS


def _columns(scores: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """Key -> its values in the scores that have it."""
    columns = {}
    for score in scores:
        for key, value in score.items():
            columns.setdefault(key, []).append(value)
    return columns


def _by_key(
    statistic: Callable[[Sequence[float]], float], columns: Mapping[str, Sequence[float]]
) -> dict[str, float]:
    """A statistic of every column; NaN where a value is not finite."""
    return {
        key: float(statistic(values)) if np.isfinite(values).all() else float("nan")
        for key, values in columns.items()
    }


def _regions(scan: Scan) -> tuple[slice, slice, slice]:
    """Frames of full, compress and stretch; the equilibrium frame belongs to all three."""
    n_frames, k = len(scan.lengths), scan.equilibrium
    return slice(0, n_frames), slice(0, k + 1), slice(k, n_frames)


def _outside_window(scan: Scan) -> np.ndarray:
    """Intervals whose two frames both lie more than `WINDOW` from equilibrium, (n_frames - 1,) bool."""
    outside = np.abs(scan.lengths - scan.lengths[scan.equilibrium]) > WINDOW
    return outside[1:] & outside[:-1]


def _largest(steepness: np.ndarray) -> float:
    return _finite_or_nan(steepness.max(initial=0.0))


def _mean(errors: np.ndarray) -> float:
    return _finite_or_nan(errors.mean())


def _finite_or_nan(value: float) -> float:
    return float(value) if np.isfinite(value) else float("nan")
