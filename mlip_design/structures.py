"""Files -> `Structure`: one validated frame with its labels, in eV, Å, eV/Å, eV/Å^3.

Any file that ASE reads (extended XYZ, compressed too, ASE databases, ...) is read frame by frame.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import ase
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.geometry import complete_cell
from ase.io import iread
from ase.io.formats import filetype, open_with_compression
from ase.stress import voigt_6_to_full_3x3_stress

from mlip_design.neighbors import closest_pair
from mlip_design.streams import COMPRESSED, Stream, streamed
from mlip_design.xyz_frames import FrameError, frame_texts, properties

XYZ = {"xyz", "extxyz"}

MAX_ATOMIC_NUMBER = 118

LARGEST_POSITION, LARGEST_CELL = 1e8, 1e4
"""Å; farther out, float64 no longer resolves a bond, and neighbours are no longer found in finite time."""

COINCIDENT = 0.05
"""Å; two atoms closer than this are taken for a mistake in the input."""


class StructureError(ValueError):
    """A structure that cannot be used; the message names the file or frame, the value and what is allowed."""


@dataclass(frozen=True)
class Structure:
    """One frame. A label that is unknown is None."""

    numbers: np.ndarray
    """(n_atoms,) int64, atomic numbers."""
    positions: np.ndarray
    """(n_atoms, 3), Å."""
    cell: np.ndarray
    """(3, 3), Å, lattice vectors in rows; zeros for a molecule."""
    pbc: np.ndarray
    """(3,) bool, periodic directions."""
    energy: float | None = None
    """eV."""
    forces: np.ndarray | None = None
    """(n_atoms, 3), eV/Å."""
    stress: np.ndarray | None = None
    """(3, 3), eV/Å^3, sign as in ASE; None as well where there is no volume."""


def from_atoms(atoms: ase.Atoms, where: str = "structure") -> Structure:
    """Unlabelled, validated `Structure` of an ASE Atoms object; `where` names it in errors."""
    structure = as_structure(atoms)
    validate(structure, where)
    return structure


def as_structure(atoms: ase.Atoms) -> Structure:
    """Unlabelled `Structure` of an ASE Atoms object, not validated."""
    return Structure(
        numbers=atoms.numbers.astype(np.int64),
        positions=np.array(atoms.positions, dtype=np.float64),
        cell=np.array(atoms.cell[:], dtype=np.float64),
        pbc=np.array(atoms.pbc, dtype=bool),
    )


def validate(structure: Structure, where: str) -> None:
    """Raise `StructureError` for a geometry that no potential can evaluate."""
    if not len(structure.numbers):
        raise StructureError(f"{where}: has no atoms")
    if not ((structure.numbers > 0) & (structure.numbers <= MAX_ATOMIC_NUMBER)).all():
        strange = structure.numbers[(structure.numbers < 1) | (structure.numbers > MAX_ATOMIC_NUMBER)][0]
        raise StructureError(f"{where}: {strange} is no atomic number (1 to {MAX_ATOMIC_NUMBER})")
    for name in ("positions", "cell"):
        if not np.isfinite(getattr(structure, name)).all():
            raise StructureError(f"{where}: {name} must be finite, but there is NaN or infinity")
    for name, largest in (("positions", LARGEST_POSITION), ("cell", LARGEST_CELL)):
        if (found := np.abs(getattr(structure, name)).max()) > largest:
            raise StructureError(f"{where}: {name} must stay within {largest:.0e} Å, but there is {found:.3g}")
    if structure.pbc.any():
        missing = structure.pbc & (np.linalg.norm(structure.cell, axis=1) < 1e-6)
        if missing.any():
            axes = ", ".join("abc"[axis] for axis in np.flatnonzero(missing))
            raise StructureError(f"{where}: periodic along {axes}, but that cell vector is missing (zero length)")
        if abs(np.linalg.det(complete_cell(structure.cell))) < 1e-3:
            raise StructureError(f"{where}: periodic, but its cell has no volume")
    if (pair := closest_pair(structure.positions, structure.cell, structure.pbc, COINCIDENT)) is not None:
        i, j, distance = pair
        raise StructureError(
            f"{where}: atoms {i} and {j} coincide ({distance:.3g} Å apart, at least {COINCIDENT})"
        )


def read_structures(
    path: str | Path,
    energy_key: str = "energy",
    forces_key: str = "forces",
    stress_key: str = "stress",
) -> Iterator[Structure]:
    """Labelled structures of a file, one at a time.

    energy_key, forces_key, stress_key: names of the labels (eV, eV/Å, eV/Å^3) in the file. Energy and forces are
    required in every frame; stress is optional, and left out where the cell has no volume. Raises StructureError or
    FileNotFoundError, naming file and frame.
    """
    return convert(Path(path), lambda atoms, where: labelled(atoms, where, energy_key, forces_key, stress_key))


def read_geometries(path: str | Path) -> Iterator[Structure]:
    """Structures of a file without their labels, one at a time; otherwise as `read_structures`."""
    return convert(Path(path), from_atoms)


def convert(path: Path, make: Callable[[ase.Atoms, str], Structure]) -> Iterator[Structure]:
    """Structures made of every frame of a file and its name for errors; raises as `read_structures` says."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file{closest_file(path)}")
    count = 0
    try:
        for atoms in frames(path):
            yield make(atoms, f"{path}, frame {count}")
            count += 1
    except StructureError:
        raise
    except Exception as error:  # each of ASE's readers has exceptions of its own
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise StructureError(f"{path}, frame {count}: cannot be read as a structure ({reason})") from error
    if not count:
        raise StructureError(f"{path}: holds no structures")


def frames(path: Path) -> Iterator[ase.Atoms]:
    """Every frame of a file; of an XYZ file, compressed or not, one at a time, of others as ASE does."""
    kind = filetype(path.stem, read=False) if path.suffix in COMPRESSED else filetype(str(path))
    if kind in XYZ:
        with streamed(path) as stream:
            for text in xyz_texts(stream, path):
                yield from parsed(text, kind)
    elif path.suffix in COMPRESSED:
        with open_with_compression(str(path), "rt") as file:
            yield from parsed(file.read(), kind)
    else:
        yield from iread(path, index=":", format=kind, do_not_split_by_at_sign=True)


def xyz_texts(stream: Stream, path: Path) -> Iterator[str]:
    """The texts of the frames of an XYZ file. Raises StructureError where the file is no sequence of frames."""
    try:
        yield from frame_texts(io.TextIOWrapper(stream.content, encoding="utf-8"))
    except FrameError as error:
        raise StructureError(f"{path}, {error}") from error


def parsed(text: str, kind: str = "extxyz") -> Iterator[ase.Atoms]:
    """The frames of a text of some format of ASE."""
    options = {"properties_parser": properties} if kind == "extxyz" else {}
    return iread(io.StringIO(text), index=":", format=kind, **options)


def labelled(atoms: ase.Atoms, where: str, energy_key: str, forces_key: str, stress_key: str) -> Structure:
    """`Structure` with labels from an ASE Atoms object as its reader left it."""
    bare = from_atoms(atoms, where)
    labels = available_labels(atoms)
    energy = require_label(labels, energy_key, where, ())
    forces = require_label(labels, forces_key, where, bare.positions.shape)
    stress = None
    if labels.get(stress_key) is not None and np.linalg.det(bare.cell):
        is_voigt = np.size(labels[stress_key]) == 6
        stress = require_label(labels, stress_key, where, (6,) if is_voigt else (3, 3))
        stress = voigt_6_to_full_3x3_stress(stress) if is_voigt else stress
    return Structure(bare.numbers, bare.positions, bare.cell, bare.pbc, float(energy), forces, stress)


def available_labels(atoms: ase.Atoms) -> dict:
    """Everything a label may be taken from: the frame's info, its per-atom arrays, its stored results."""
    labels = {**atoms.info, **{k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}}
    if isinstance(atoms.calc, SinglePointCalculator):
        labels.update({name: value for name, value in atoms.calc.results.items() if value is not None})
    return labels


def require_label(labels: dict, key: str, where: str, shape: tuple[int, ...]) -> np.ndarray:
    """The finite label `key` in the given shape, or a StructureError that shows what there is instead."""
    if key not in labels:
        close = get_close_matches(key, labels, n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise StructureError(f"{where}: no {key!r} (has: {', '.join(sorted(labels)) or 'no labels'}){hint}")
    try:
        value = np.asarray(labels[key], dtype=np.float64).reshape(shape)
    except (TypeError, ValueError):
        raise StructureError(f"{where}: {key!r} must hold numbers of shape {shape}") from None
    if not np.isfinite(value).all():
        raise StructureError(f"{where}: {key!r} contains NaN or infinity")
    return value


def closest_file(path: Path) -> str:
    """A hint naming the most similar file in the same folder, or nothing."""
    if not path.parent.is_dir():
        return f" (its folder {path.parent} does not exist either)"
    close = get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=1)
    return f"; did you mean {path.parent / close[0]}?" if close else ""
