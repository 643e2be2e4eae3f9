"""Predictions that were made before, found by the content of what made them and of the structures: never stale.

One small file for some frames of a scan, so that a process that is killed loses little. Frames for which a calculator
found no answer are not kept: they are tried again.
"""

import warnings

import numpy as np

from mlip_design.bsct.storage import cache_folder, load_arrays, save_arrays
from mlip_design.evaluator import Predictions, digest


class PredictionCache:
    """Predictions of one model. fingerprint: `Evaluator.fingerprint`."""

    def __init__(self, fingerprint: str):
        self.fingerprint = fingerprint
        self.folder = cache_folder() / "predictions" / fingerprint[:32]
        self.is_writable = True

    def load(
        self, numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray | None, stress: bool
    ) -> Predictions | None:
        """What is known of numbers (n_atoms,) at positions (n_frames, n_atoms, 3), Å; a damaged file counts as none.

        cells: (n_frames, 3, 3), Å; None for a molecule. stress: without stresses, what is known counts as none.
        """
        arrays = load_arrays(self._path(numbers, positions, cells)) or {}
        energies, forces = arrays.get("energies"), arrays.get("forces")
        if np.shape(energies) != positions.shape[:1] or np.shape(forces) != positions.shape:
            return None
        stresses = arrays.get("stresses") if stress else None
        if stress and np.shape(stresses) != np.shape(cells):
            return None
        return Predictions(energies, list(forces), stresses=stresses)

    def save(
        self, numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray | None, predictions: Predictions
    ) -> None:
        """Keep predictions; a cache that cannot be written is a warning, once."""
        if predictions.failures or not self.is_writable:
            return
        arrays = {"energies": predictions.energies, "forces": np.array(predictions.forces)}
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
