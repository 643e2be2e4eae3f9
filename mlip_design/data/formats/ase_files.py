"""Extended XYZ, compressed or not, frame by frame; and whatever else ASE reads, as it does."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import ase

from mlip_design.data.formats.contract import Entry, Labels, attempt
from mlip_design.streams import streamed
from mlip_design.structures import Structure, StructureError, available_labels, frames, labelled, parsed, xyz_texts


def read_xyz(path: Path, labels: Labels) -> Iterator[Entry]:
    """Entries of an XYZ file; a frame that cannot be read does not end it."""
    with streamed(path) as stream:
        for index, text in enumerate(xyz_texts(stream, path)):
            where = f"{path}, frame {index}"
            yield attempt(where, stream.fraction, partial(frame_of, text, where, labels))


def read_ase(path: Path, labels: Labels) -> Iterator[Entry]:
    """Entries of a file of any other format that ASE reads."""
    for index, atoms in enumerate(frames(path)):
        where = f"{path}, frame {index}"
        yield attempt(where, 0.0, partial(from_labelled, atoms, where, labels))


def frame_of(text: str, where: str, labels: Labels) -> tuple[Structure, str | None]:
    """The structure of the text of a frame, and its group."""
    (atoms,) = parsed(text)
    return from_labelled(atoms, where, labels)


def from_labelled(atoms: ase.Atoms, where: str, labels: Labels) -> tuple[Structure, str | None]:
    """The structure of atoms as their reader left them, and its group."""
    keys = (labels.energy or "energy", labels.forces or "forces", labels.stress or "stress")
    structure = labelled(atoms, where, *keys)
    if labels.group is None:
        return structure, None
    known = available_labels(atoms)
    if labels.group not in known:
        raise StructureError(f"{where}: no {labels.group!r} (has: {', '.join(sorted(known)) or 'no labels'})")
    return structure, str(known[labels.group])
