"""Any model along scans: from the cache, or computed in this process or in several."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mlip_design.bsct.prediction_cache import PredictionCache
from mlip_design.bsct.runner import structures_of
from mlip_design.bsct.scan import Prediction, Scan
from mlip_design.evaluator import Evaluator, Predictions, open_evaluator
from mlip_design.potential import UnknownElementError
from mlip_design.processes import Processes


@dataclass(frozen=True)
class Model:
    """A model argument, which every process opens for itself; the fields are the arguments of `open_evaluator`."""

    name: str
    arguments: tuple[str, ...] = ()
    device: str = "cpu"
    dtype: str = "float64"
    allow: tuple[str, ...] = ()


@cache
def evaluator_of(model: Model) -> Evaluator:
    """The evaluator of a model, opened once a process. Raises ValueError or FileNotFoundError."""
    return open_evaluator(model.name, model.arguments, model.device, model.dtype, allow=model.allow)


class Piece(NamedTuple):
    """Some frames of a scan, predicted together."""

    scan: int
    """Index of the scan."""
    numbers: np.ndarray
    """(n_atoms,)."""
    positions: np.ndarray
    """(n_frames, n_atoms, 3), Å."""
    cells: np.ndarray | None
    """(n_frames, 3, 3), Å; None for a molecule."""
    stress: bool
    """Whether stresses are asked for."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """A model along one scan."""

    energies: np.ndarray
    """(n_frames,), eV; NaN where there is none."""
    forces: np.ndarray
    """(n_frames, n_atoms, 3), eV/Å; NaN where there are none."""
    failures: dict[int, str]
    """Index of a frame -> why there is no prediction."""
    stresses: np.ndarray | None = None
    """(n_frames, 3, 3), eV/Å^3; NaN where there are none. None if the scan has none."""

    @property
    def prediction(self) -> Prediction:
        """What is scored."""
        found = self.energies, self.forces
        return found if self.stresses is None else (*found, self.stresses)

    @property
    def failure(self) -> str | None:
        """Why this prediction cannot be used, or None if every number is finite."""
        energies, *tensors = self.prediction
        finite = np.all(
            [np.isfinite(energies), *(np.isfinite(found).all(axis=(1, 2)) for found in tensors)], axis=0
        )
        frames = sorted({*np.flatnonzero(~finite).tolist(), *self.failures})
        if not frames:
            return None
        named = "energy or forces" if self.stresses is None else "energy, forces or stress"
        reason = self.failures.get(frames[0], f"{named} are not finite")
        return f"{len(frames)} of {len(self.energies)} frames, the first is frame {frames[0]}: {reason}"


class PredictedSet(NamedTuple):
    """A model along several scans."""

    predicted: list[Predicted]
    """In the order of the scans."""
    n_known: int
    """Frames that were in the cache."""


def predict(model: Model, scans: Sequence[Scan], workers: int = 1, progress: bool = False) -> PredictedSet:
    """Energies and forces of every frame of the scans; what was computed before, or before a kill, is not again.

    Args:
        workers: processes of one thread each; 1 computes in this process.
        progress: show a progress bar, if stderr is a terminal.

    Raises ValueError or FileNotFoundError for a model that cannot be opened, ChildProcessError if a process is killed.
    """
    evaluator = evaluator_of(model)
    predictions = PredictionCache(evaluator.fingerprint)
    pieces = list(_pieces(scans, evaluator.at_once))
    found = [predictions.load(*piece[1:]) for piece in pieces]
    missing = {index: _part(pieces[index], known.failures) for index, known in enumerate(found) if known.failures}
    n_missing = sum(len(piece.positions) for piece in missing.values())
    with tqdm(total=n_missing, desc="frames", disable=None if progress else True, leave=False, smoothing=0) as bar:
        for index, made in _compute(model, missing, workers):
            piece, found[index] = pieces[index], _completed(found[index], made)
            predictions.save(piece.numbers, piece.positions, piece.cells, found[index])
            bar.update(len(made.energies))
    parts = [[] for _ in scans]
    for piece, made in zip(pieces, found, strict=True):
        parts[piece.scan].append(made)
    n_frames = sum(len(scan.lengths) for scan in scans)
    return PredictedSet([_joined(some) for some in parts], n_frames - n_missing)


def _compute(model: Model, pieces: dict[int, Piece], workers: int) -> Iterator[tuple[int, Predictions]]:
    """Index of a piece and its predictions, as they get done."""
    jobs = [(model, *piece[1:], index) for index, piece in pieces.items()]
    if min(workers, len(jobs)) < 2:
        yield from ((job[-1], predict_frames(*job)) for job in jobs)
        return
    with Processes(workers) as processes:
        yield from ((job[-1], made) for job, made in processes.spread(predict_frames, jobs))


def predict_frames(
    model: Model, numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray | None, stress: bool, _index: int
) -> Predictions:
    """Predictions of a system in several positions; all fail if it holds an element that the model does not know."""
    try:
        return evaluator_of(model)(structures_of(numbers, positions, cells), stress)
    except UnknownElementError as error:
        nothing = np.full(positions.shape, np.nan)
        reason = str(error).removeprefix("structure: ")
        stresses = np.full_like(cells, np.nan) if stress else None
        return Predictions(nothing[:, 0, 0], list(nothing), dict.fromkeys(range(len(positions)), reason), stresses)


def _pieces(scans: Sequence[Scan], at_once: int) -> Iterator[Piece]:
    for index, scan in enumerate(scans):
        for first in range(0, len(scan.lengths), at_once):
            frames = slice(first, first + at_once)
            cells = None if scan.cells is None else scan.cells[frames]
            yield Piece(index, scan.numbers, scan.positions[frames], cells, scan.stresses is not None)


def _part(piece: Piece, frames: Iterable[int]) -> Piece:
    """Some frames of a piece."""
    frames = list(frames)
    cells = None if piece.cells is None else piece.cells[frames]
    return piece._replace(positions=piece.positions[frames], cells=cells)


def _completed(known: Predictions, made: Predictions) -> Predictions:
    """What is known of some frames, with what was made of those that had failed."""
    frames = list(known.failures)
    known.energies[frames] = made.energies
    if known.stresses is not None:
        known.stresses[frames] = made.stresses
    for frame, forces in zip(frames, made.forces, strict=True):
        known.forces[frame] = forces
    return replace(known, failures={frames[index]: reason for index, reason in made.failures.items()})


def _joined(parts: Sequence[Predictions]) -> Predicted:
    failures, n_before = {}, 0
    for part in parts:
        failures |= {n_before + frame: reason for frame, reason in part.failures.items()}
        n_before += len(part.energies)
    energies = np.concatenate([part.energies for part in parts])
    forces = np.concatenate([np.array(part.forces) for part in parts])
    stressed = parts[0].stresses is not None
    stresses = np.concatenate([part.stresses for part in parts]) if stressed else None
    return Predicted(energies, forces, failures, stresses)
