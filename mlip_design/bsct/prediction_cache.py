"""Predictions that were made before, found by the content of what made them and of the structures: never stale.

One small file for some frames of a scan, so that a process that is killed loses little. Frames for which a calculator
found no answer are tried again; the others of their file are kept.
"""

import warnings

import numpy as np

from mlip_design.bsct.storage import load_arrays, save_arrays
from mlip_design.evaluator import Predictions, digest
from mlip_design.files import cache_folder


class PredictionCache:
    """Predictions of one model. fingerprint: `Evaluator.fingerprint`."""

    def __init__(self, fingerprint: str):
        self.fingerprint = fingerprint
        self.folder = cache_folder() / "predictions" / fingerprint[:32]
        self.is_writable = True

    def load(
        self, numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray | None, stress: bool
    ) -> Predictions:
        """What is known of numbers (n_atoms,) at positions (n_frames, n_atoms, 3), Å; the other frames are failures.

        cells: (n_frames, 3, 3), Å; None for a molecule. stress: without stresses, as in a damaged file, none is known.
        """
        shapes = {"energies": positions.shape[:1], "forces": positions.shape, "failed": positions.shape[:1]}
        shapes |= {"stresses": np.shape(cells)} if stress else {}
        arrays = load_arrays(self._path(numbers, positions, cells)) or {}
        if any(np.shape(arrays.get(name)) != shape for name, shape in shapes.items()):
            arrays = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
        failures = dict.fromkeys(np.flatnonzero(arrays["failed"]).tolist(), "not computed")
        stresses = arrays["stresses"] if stress else None
        return Predictions(arrays["energies"], list(arrays["forces"]), failures, stresses)

    def save(
        self, numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray | None, predictions: Predictions
    ) -> None:
        """Keep predictions; a cache that cannot be written is a warning, once."""
        failed = np.isin(np.arange(len(predictions.energies)), list(predictions.failures))
        if failed.all() or not self.is_writable:
            return
        arrays = {"energies": predictions.energies, "forces": np.array(predictions.forces), "failed": failed}
        if predictions.stresses is not None:
            arrays["stresses"] = predictions.stresses
        try:
            save_arrays(self._path(numbers, positions, cells), arrays)
        except OSError as error:
            self.is_writable = False
            warnings.warn(
                f"a scoring that is stopped starts anew, the cache cannot be written: {error}", stacklevel=2
            )

    def _path(self, numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray | None):
        parts = [self.fingerprint.encode(), str(positions.shape).encode(), numbers.tobytes(), positions.tobytes()]
        parts += [] if cells is None else [cells.tobytes()]
        return self.folder / f"{digest(*parts)}.npz"
