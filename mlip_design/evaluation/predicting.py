"""What a model says of a stream of structures, batch by batch; what was computed before, or before a kill, is kept.

Batches are found by the content of what made them and of their structures, so that they are never stale. Those in
which a calculator found no answer are tried again.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlip_design.bsct.storage import load_arrays, save_arrays
from mlip_design.data.formats.contract import Entry
from mlip_design.evaluator import Evaluator, Predictions, digest
from mlip_design.files import cache_folder
from mlip_design.potential import UnknownElementError
from mlip_design.structures import Structure


class Predicted(NamedTuple):
    """One structure of a source and what the model says of it."""

    entry: Entry
    energy: float = np.nan
    """eV."""
    forces: np.ndarray | None = None
    """(n_atoms, 3), eV/Å."""
    stress: np.ndarray | None = None
    """(3, 3), eV/Å^3; None where there is none."""
    failure: str | None = None
    """Why there is no usable prediction."""


def predicted(evaluator: Evaluator, entries: Iterable[Entry]) -> Iterator[Predicted]:
    """Predictions of entries in order; entries without a structure come back without one."""
    entries = iter(entries)
    while batch := list(islice(entries, evaluator.at_once)):
        found: dict[int, Predicted] = {}
        for stress in (False, True):
            chosen = [i for i, entry in enumerate(batch) if wants_stress(evaluator, entry.structure) is stress]
            predictions = known_or_computed(evaluator, [batch[i].structure for i in chosen], stress)
            found |= {i: prediction_of(batch[i], predictions, place) for place, i in enumerate(chosen)}
        yield from (found.get(i, Predicted(entry)) for i, entry in enumerate(batch))


def wants_stress(evaluator: Evaluator, structure: Structure | None) -> bool | None:
    """Whether a structure has a stress to predict; None for no structure."""
    return None if structure is None else evaluator.has_stress and bool(structure.pbc.all())


def prediction_of(entry: Entry, predictions: Predictions, place: int) -> Predicted:
    """What the predictions say of the structure at a place in them."""
    energy, forces = float(predictions.energies[place]), predictions.forces[place]
    stress = None if predictions.stresses is None else predictions.stresses[place]
    failure = predictions.failures.get(place)
    if failure is None and not all(
        np.isfinite(values).all() for values in (energy, forces, stress) if values is not None
    ):
        failure = "the prediction is not finite"
    return Predicted(entry, failure=failure) if failure else Predicted(entry, energy, forces, stress)


def known_or_computed(evaluator: Evaluator, structures: Sequence[Structure], stress: bool) -> Predictions:
    """Predictions of structures from the cache or by the model; those with elements unknown to it fail alone."""
    if not structures:
        return Predictions(np.empty(0), [])
    path = place_of(evaluator, structures, stress)
    known = loaded(path, structures, stress)
    if known is not None:
        return known
    try:
        made = evaluator(structures, stress)
    except UnknownElementError as error:
        if len(structures) == 1:
            reason = str(error).removeprefix("structure: ")
            forces = np.full(structures[0].positions.shape, np.nan)
            return Predictions(
                np.array([np.nan]), [forces], {0: reason}, np.full((1, 3, 3), np.nan) if stress else None
            )
        middle = len(structures) // 2
        parts = (known_or_computed(evaluator, part, stress) for part in (structures[:middle], structures[middle:]))
        return joined(*parts)
    if not made.failures:
        save(path, made)
    return made


def nothing(structure: Structure, stress: bool, reason: str) -> Predictions:
    """Of a structure that has no prediction."""
    forces, stresses = np.full(structure.positions.shape, np.nan), np.full((1, 3, 3), np.nan)
    return Predictions(np.array([np.nan]), [forces], {0: reason}, stresses if stress else None)


def joined(first: Predictions, second: Predictions) -> Predictions:
    """Those of two lists of structures as those of one."""
    n_before = len(first.energies)
    return Predictions(
        np.concatenate([first.energies, second.energies]),
        [*first.forces, *second.forces],
        first.failures | {n_before + place: reason for place, reason in second.failures.items()},
        None if first.stresses is None else np.concatenate([first.stresses, second.stresses]),
    )


def place_of(evaluator: Evaluator, structures: Sequence[Structure], stress: bool) -> Path:
    """Where the predictions of structures are kept."""
    parts = [b"with stress" if stress else b"without"]
    for s in structures:
        parts += [values.tobytes() for values in (s.numbers, s.positions, s.cell, s.pbc)]
    return cache_folder() / "evaluations" / evaluator.fingerprint[:32] / f"{digest(*parts)}.npz"


def loaded(path: Path, structures: Sequence[Structure], stress: bool) -> Predictions | None:
    """What was kept; a damaged file counts as none."""
    arrays = load_arrays(path) or {}
    ends = np.cumsum([len(s.numbers) for s in structures])
    shapes = {"energies": (len(structures),), "forces": (ends[-1], 3)}
    shapes |= {"stresses": (len(structures), 3, 3)} if stress else {}
    if any(np.shape(arrays.get(name)) != shape for name, shape in shapes.items()):
        return None
    return Predictions(arrays["energies"], np.split(arrays["forces"], ends[:-1]), stresses=arrays.get("stresses"))


def save(path: Path, predictions: Predictions) -> None:
    """Keep predictions; where they cannot be kept there is a warning."""
    arrays = {"energies": predictions.energies, "forces": np.concatenate(predictions.forces)}
    arrays |= {} if predictions.stresses is None else {"stresses": predictions.stresses}
    try:
        save_arrays(path, arrays)
    except OSError as error:
        warnings.warn(
            f"an evaluation that is stopped starts anew, the cache cannot be written: {error}", stacklevel=2
        )
