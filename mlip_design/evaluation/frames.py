"""Structures to predict, with the labels that they have: of every source that `mlip_design.data` reads.

XYZ files, and what ASE itself reads, may lack labels; the other formats always have energy and forces.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import ase
import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

from mlip_design.data.formats.ase_files import read_ase, read_xyz
from mlip_design.data.formats.contract import Entry, Labels, attempt
from mlip_design.data.reading import entries, find_files, read_on, reader_of
from mlip_design.streams import streamed
from mlip_design.structures import (
    Structure,
    available_labels,
    frames,
    from_atoms,
    parsed,
    require_label,
    xyz_texts,
)

GROUP = "config_type"
"""What groups structures of XYZ files unless something else is asked for."""


def read_frames(source: Path, labels: Labels) -> Iterator[Entry]:
    """Entries of a file, store or folder; labels that are not there are None in their structures.

    Labels that are named must be there. Raises FileNotFoundError, and StructureError for a file that cannot be read on.
    """
    files, _ = find_files([source])
    for number, path in enumerate(files):
        for entry in frames_of(path, labels):
            yield entry._replace(fraction=(number + entry.fraction) / len(files))


def frames_of(path: Path, labels: Labels) -> Iterator[Entry]:
    """Entries of one file or store."""
    reader = reader_of(path)
    if reader not in (read_xyz, read_ase):
        yield from entries(path, labels)
        return
    found = enumerate(atoms_of(path, is_xyz=reader is read_xyz))
    named = ((f"{path}, frame {number}", fraction, read) for number, (fraction, read) in found)
    yield from read_on(
        path,
        (attempt(where, fraction, partial(structure_of, read, where, labels)) for where, fraction, read in named),
    )


def atoms_of(path: Path, is_xyz: bool) -> Iterator[tuple[float, Callable[[], ase.Atoms]]]:
    """How much of the file was read, and what gives the atoms, of every frame."""
    if is_xyz:
        with streamed(path) as stream:
            for text in xyz_texts(stream, path):
                yield stream.fraction, partial(only_frame, text)
    else:
        for atoms in frames(path):
            yield 0.0, lambda atoms=atoms: atoms


def only_frame(text: str) -> ase.Atoms:
    """The atoms of the text of one frame."""
    (atoms,) = parsed(text)
    return atoms


def structure_of(read: Callable[[], ase.Atoms], where: str, labels: Labels) -> tuple[Structure, str | None]:
    """The structure of a frame with the labels that it has, and its group."""
    atoms = read()
    bare, known = from_atoms(atoms, where), available_labels(atoms)
    energy = label(known, labels.energy, "energy", where, ())
    forces = label(known, labels.forces, "forces", where, bare.positions.shape)
    stress = None
    if np.linalg.det(bare.cell):
        is_voigt = np.size(known.get(labels.stress or "stress")) == 6
        stress = label(known, labels.stress, "stress", where, (6,) if is_voigt else (3, 3))
        stress = voigt_6_to_full_3x3_stress(stress) if is_voigt else stress
    energy = None if energy is None else float(energy)
    group = known.get(labels.group or GROUP)
    structure = Structure(bare.numbers, bare.positions, bare.cell, bare.pbc, energy, forces, stress)
    return structure, None if group is None else str(group)


def label(known: dict, given: str | None, usual: str, where: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """A label by its given or its usual name; None where it has no given one and is not there."""
    if given is None and known.get(usual) is None:
        return None
    return require_label(known, given or usual, where, shape)
