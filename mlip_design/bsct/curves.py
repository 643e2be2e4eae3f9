"""The curves along a scan whose steepest slope is a Force Smoothness Deviation (FSD); formula in `score`.

Where the volume of a crystal is scanned, its atoms may feel no force at all, by symmetry. What acts along the path
then is the stress s (eV/Å^3): with the coordinate a, the edge of the cube that an atom fills,

    P = a^2 s                   forces on the faces of that cube, eV/Å
    trace(P) = dE/da / n_atoms  for the fractional positions stay

so that the same formula, with P in the place of the forces, has the same units.
"""

from dataclasses import dataclass

import numpy as np

from mlip_design.bsct.scan import Prediction, Scan


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


def deviation_curves(scan: Scan, forces: np.ndarray, floor: float = 1.0) -> DeviationCurves:
    """Squared deviations of model and reference, their log ratio and its slope.

    Args:
        forces: model forces, (n_frames, n_atoms, 3), eV/Å.
        floor: e of the formula, eV/Å.
    """
    return _curves(scan, checked(scan, "forces", forces), scan.forces, floor)


def stress_curves(scan: Scan, stresses: np.ndarray, floor: float = 1.0) -> DeviationCurves:
    """The same of the forces P on the faces of the cube that an atom fills.

    Args:
        stresses: model stresses, (n_frames, 3, 3), eV/Å^3, sign as in ASE.
        floor: e of the formula, eV/Å.

    Raises ValueError for a scan without reference stresses.
    """
    stresses = checked(scan, "stresses", stresses)
    return _curves(scan, face_forces(scan, stresses), face_forces(scan, scan.stresses), floor)


def leading_curves(scan: Scan, prediction: Prediction, floor: float = 1.0) -> DeviationCurves:
    """What says most of a scan: the curves of the stress where it is predicted, of the forces elsewhere."""
    _, forces, *stresses = prediction
    return stress_curves(scan, *stresses, floor) if stresses else deviation_curves(scan, forces, floor)


def face_forces(scan: Scan, stresses: np.ndarray) -> np.ndarray:
    """P, (n_frames, 3, 3), eV/Å. stresses: (n_frames, 3, 3), eV/Å^3."""
    return scan.lengths[:, None, None] ** 2 * stresses


def checked(scan: Scan, name: str, values: np.ndarray) -> np.ndarray:
    """Predictions in float64, with the shape of the reference. Raises ValueError."""
    values, reference = np.asarray(values, dtype=np.float64), getattr(scan, name)
    if reference is None:
        raise ValueError(f"{scan.name}: {name} are given, but the scan has no reference {name}")
    if values.shape != reference.shape:
        raise ValueError(f"{scan.name}: {name} have shape {values.shape}, expected {reference.shape}")
    return values


def _curves(scan: Scan, forces: np.ndarray, reference_forces: np.ndarray, floor: float) -> DeviationCurves:
    """Of forces (n_frames, any, 3), eV/Å."""
    if not floor > 0:
        raise ValueError(f"floor is {floor!r}, expected a positive force in eV/Å")
    centre = reference_forces[scan.equilibrium]
    with np.errstate(over="ignore", invalid="ignore"):
        model = ((forces - centre) ** 2).sum(axis=(1, 2))
        reference = ((reference_forces - centre) ** 2).sum(axis=(1, 2))
        log_ratio = np.log(np.maximum(model, floor**2)) - np.log(np.maximum(reference, floor**2))
        slope = np.diff(log_ratio) / np.diff(scan.lengths)
    return DeviationCurves(scan.lengths, model, reference, log_ratio, slope)
