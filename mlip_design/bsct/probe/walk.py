"""A model along the paths of a structure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from mlip_design.bsct.probe.bisection import MAX_EVALUATIONS, probe_many
from mlip_design.bsct.probe.chains import chain
from mlip_design.bsct.probe.paths import (
    Path,
    angle_path,
    approach_path,
    bond_path,
    boundary_path,
    cutoff_path,
    swap_path,
    torsion_path,
)
from mlip_design.bsct.probe.result import NoPredictionError, Probe
from mlip_design.structures import Structure

if TYPE_CHECKING:
    from mlip_design.evaluator import Evaluator

INTERNAL = {"bond": (2, bond_path), "angle": (3, angle_path), "torsion": (4, torsion_path)}
"""Kind of path -> number of atoms, and what makes it of them."""
KINDS = (*INTERNAL, "approach", "swap", "cutoff", "boundary")


class NoPathError(ValueError):
    """A structure does not have a path; the message says what it lacks."""


@dataclass(frozen=True)
class Walk:
    """A path and what was found along it."""

    path: Path
    probe: Probe

    @property
    def largest_energy_jump(self) -> float:
        """eV; 0 if there is none."""
        return max((jump.energy_jump for jump in self.probe.jumps), default=0.0)

    @property
    def largest_force_jump(self) -> float:
        """eV/Å; 0 if there is none."""
        return max((jump.force_jump for jump in self.probe.jumps), default=0.0)


def walk(evaluator: "Evaluator", path: Path, max_evaluations: int = MAX_EVALUATIONS) -> Walk:
    """Probe a model along a path. Raises NoPredictionError where it has no answer."""

    def evaluate_many(coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        predictions = evaluator([path.structure(float(coordinate)) for coordinate in coordinates])
        for index, reason in predictions.failures.items():
            raise NoPredictionError(f"no prediction at {coordinates[index]:.6g} {path.unit} ({reason})")
        return predictions.energies, np.array(predictions.forces)

    probe = probe_many(
        evaluate_many,
        path.start,
        path.stop,
        places=path.places,
        first_step=path.first_step,
        max_evaluations=max_evaluations,
    )
    return Walk(path, probe)


def paths_of(structure: Structure, cutoff: float | None) -> Iterator[Path]:
    """One path of every kind that the structure has. cutoff: of the model, Å, None if it is not known."""
    for kind in KINDS:
        try:
            yield find_path(structure, kind, cutoff)
        except NoPathError:
            continue


def find_paths(
    structure: Structure, texts: Sequence[str], cutoff: float | None
) -> tuple[list[Path], dict[str, str]]:
    """The paths that texts name, `all` for every kind that the structure has; text -> why it does not have the others.

    Raises ValueError for a text of no meaning.
    """
    paths, lacking = list(paths_of(structure, cutoff)) if "all" in texts else [], {}
    for text in texts:
        if text != "all":
            try:
                paths.append(find_path(structure, text, cutoff))
            except NoPathError as error:
                lacking[text] = str(error)
    return paths, lacking


def find_path(structure: Structure, text: str, cutoff: float | None) -> Path:
    """The path that `text` names: `bond:0,1`, or a kind alone, for which atoms are chosen.

    Raises NoPathError if the structure has no such path, ValueError for a text of no meaning.
    """
    kind, _, listed = text.partition(":")
    if kind not in KINDS:
        close = get_close_matches(kind, KINDS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"--path {text}: no such kind (there are {', '.join(KINDS)}, all){hint}")
    if kind in INTERNAL:
        count, make = INTERNAL[kind]
        return make(
            structure, *(atoms_of(structure, text, listed, count) if listed else found(structure, kind, count))
        )
    if listed:
        raise ValueError(f"--path {text}: {kind} chooses its atoms itself")
    check_room(structure, kind)
    others: dict[str, Callable[[], Path]] = {
        "approach": lambda: approach_path(structure),
        "swap": lambda: swap_path(structure),
        "cutoff": lambda: cutoff_path(structure, cutoff),
        "boundary": lambda: boundary_path(structure),
    }
    return others[kind]()


def atoms_of(structure: Structure, text: str, listed: str, count: int) -> Sequence[int]:
    """The atoms that a text lists."""
    n_atoms = len(structure.numbers)
    words, example = listed.split(","), ",".join(map(str, range(count)))
    if len(words) != count or not all(word.strip().isdecimal() for word in words):
        raise ValueError(f"--path {text}: needs {count} atoms by number, such as {example}")
    atoms = [int(word) for word in words]
    if max(atoms) >= n_atoms or len(set(atoms)) < count:
        raise NoPathError(f"needs {count} different atoms from 0 to {n_atoms - 1}")
    return atoms


def found(structure: Structure, kind: str, count: int) -> Sequence[int]:
    """Atoms for a path of a kind."""
    atoms = chain(structure, count)
    if atoms is None:
        raise NoPathError(f"the structure has no {count} atoms bonded in a row")
    return atoms


def check_room(structure: Structure, kind: str) -> None:
    """Raise NoPathError for a structure that is too small or periodic where it must not be."""
    periodic = structure.pbc.any()
    least = {"swap": 2 if periodic else 3, "cutoff": 2}.get(kind, 1)
    if len(structure.numbers) < least:
        raise NoPathError(f"needs {least} atoms, the structure has {len(structure.numbers)}")
    if kind == "approach" and periodic:
        raise NoPathError("needs molecules, the structure is periodic")
