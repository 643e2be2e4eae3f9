"""Force Smoothness Deviation (FSD) of predicted forces along a bond scan.

With model forces F, reference forces G (eV/Å), bond lengths a (Å) and k the frame of lowest reference energy:

    sF = sum over atoms and axes of (F - G[k])^2        sG = the same of (G - G[k])^2
    L  = ln max(sF, e^2) - ln max(sG, e^2)              e = 1 eV/Å
    FSD = max over neighbouring frames of |diff(L) / diff(a)|, in 1/Å

Both deviations are taken from the *reference* force at k. The regions are full (every frame), compress
(frames up to k) and stretch (frames from k on). "windowed" is the full FSD over the intervals whose two frames
both lie more than `WINDOW` from the equilibrium length, where sG passes through zero and the maximum mostly sits.

A region without an interval (k at an end) has an FSD of 0. A key that a non-finite prediction enters is NaN.

Source: arXiv:2602.04861; its published table is the unweighted mean over systems.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mlip_design.bsct.scan import Scan

REGIONS = ("full", "compress", "stretch")
PUBLISHED_KEYS = tuple(
    f"{region}_{key}" for region in REGIONS for key in ("smoothness", "energy_mae", "forces_mae")
)
METRIC_KEYS = (*PUBLISHED_KEYS, "windowed_smoothness")
WINDOW = 0.1  # Å


@dataclass(frozen=True, eq=False)
class DeviationCurves:
    """The quantities FSD is made of, along one scan.

    Attributes:
        lengths: bond lengths, (n_frames,), Å.
        model: squared deviation sF of the model forces, (n_frames,), (eV/Å)^2.
        reference: squared deviation sG of the reference forces, (n_frames,), (eV/Å)^2.
        log_ratio: L, (n_frames,), dimensionless.
        slope: diff(L) / diff(a), signed, (n_frames - 1,), 1/Å.
    """

    lengths: np.ndarray
    model: np.ndarray
    reference: np.ndarray
    log_ratio: np.ndarray
    slope: np.ndarray

    @property
    def steepest(self) -> int:
        """Index of the interval whose |slope| is the full FSD (the first NaN, if there is one)."""
        return int(np.argmax(np.abs(self.slope)))


@dataclass(frozen=True)
class Summary:
    """Scores of a data set; `dataclasses.asdict` makes it ready for JSON.

    Attributes:
        count: number of systems.
        nonfinite: names of the systems with at least one non-finite key; they turn that key's statistics to NaN.
        mean, median, percentile_95: statistic over systems, unweighted, by key.
        bond_mean: mean over the systems of a bond type, by bond type, then key.
    """

    count: int
    nonfinite: tuple[str, ...]
    mean: dict[str, float]
    median: dict[str, float]
    percentile_95: dict[str, float]
    bond_mean: dict[str, dict[str, float]]


def deviation_curves(scan: Scan, forces: np.ndarray, floor: float = 1.0) -> DeviationCurves:
    """Squared deviations of model and reference, their log ratio and its slope.

    Args:
        forces: model forces, (n_frames, n_atoms, 3), eV/Å.
        floor: e of the formula, eV/Å.
    """
    forces = _checked(scan, "forces", forces)
    if not floor > 0:
        raise ValueError(f"floor is {floor!r}, expected a positive force in eV/Å")
    equilibrium_forces = scan.forces[scan.equilibrium]
    with np.errstate(over="ignore", invalid="ignore"):
        model = ((forces - equilibrium_forces) ** 2).sum(axis=(1, 2))
        reference = ((scan.forces - equilibrium_forces) ** 2).sum(axis=(1, 2))
        log_ratio = np.log(np.maximum(model, floor**2)) - np.log(np.maximum(reference, floor**2))
        slope = np.diff(log_ratio) / np.diff(scan.lengths)
    return DeviationCurves(scan.lengths, model, reference, log_ratio, slope)


def score_scan(scan: Scan, energies: np.ndarray, forces: np.ndarray, floor: float = 1.0) -> dict[str, float]:
    """Smoothness (1/Å), energy MAE (eV) and force MAE (eV/Å) of every region: the keys `METRIC_KEYS`.

    Args:
        energies: model energies, (n_frames,), eV, on the reference's scale.
        forces: model forces, (n_frames, n_atoms, 3), eV/Å.
        floor: e of the formula, eV/Å.
    """
    energies, forces = _checked(scan, "energies", energies), _checked(scan, "forces", forces)
    with np.errstate(over="ignore"):
        energy_errors, force_errors = np.abs(energies - scan.energies), np.abs(forces - scan.forces)
    steepness = np.abs(deviation_curves(scan, forces, floor).slope)

    score = {}
    for region, frames in zip(REGIONS, _regions(scan), strict=True):
        score[f"{region}_smoothness"] = _largest(steepness[frames.start : frames.stop - 1])
        score[f"{region}_energy_mae"] = _mean(energy_errors[frames])
        score[f"{region}_forces_mae"] = _mean(force_errors[frames])
    score["windowed_smoothness"] = _largest(steepness[_outside_window(scan)])
    return score


def zero_force_score(scan: Scan, floor: float = 1.0) -> dict[str, float]:
    """Smoothness (1/Å) and force MAE (eV/Å) of zero forces, the baseline of every model, as "zero_<key>"."""
    score = score_scan(scan, scan.energies, np.zeros_like(scan.forces), floor)
    return {f"zero_{key}": value for key, value in score.items() if not key.endswith("energy_mae")}


def aggregate(scores: Mapping[str, Mapping[str, float]], bonds: Mapping[str, str]) -> Summary:
    """Statistics over systems, every system counting the same.

    Args:
        scores: score of every system by name, all with the same keys.
        bonds: bond type of every system by name.
    """
    if not scores:
        raise ValueError("no score to aggregate")
    keys = tuple(next(iter(scores.values())))
    for name, score in scores.items():
        if set(score) != set(keys):
            raise ValueError(f"{name}: keys {sorted(score)} differ from {sorted(keys)}")
        if name not in bonds:
            raise ValueError(f"{name}: has a score but no bond type")

    table = np.array([[score[key] for key in keys] for score in scores.values()], dtype=np.float64)
    table[~np.isfinite(table)] = np.nan
    bond_of_row = np.array([bonds[name] for name in scores])
    return Summary(
        count=len(scores),
        nonfinite=tuple(name for name, row in zip(scores, table, strict=True) if np.isnan(row).any()),
        mean=_by_key(keys, table.mean(axis=0)),
        median=_by_key(keys, np.median(table, axis=0)),
        percentile_95=_by_key(keys, np.percentile(table, 95, axis=0)),
        bond_mean={
            str(bond): _by_key(keys, table[bond_of_row == bond].mean(axis=0)) for bond in np.unique(bond_of_row)
        },
    )


def _checked(scan: Scan, name: str, values: np.ndarray) -> np.ndarray:
    """Predictions in float64, with the shape of the reference."""
    values, shape = np.asarray(values, dtype=np.float64), getattr(scan, name).shape
    if values.shape != shape:
        raise ValueError(f"{scan.name}: {name} have shape {values.shape}, expected {shape}")
    return values


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


def _by_key(keys: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    return dict(zip(keys, values.tolist(), strict=True))
