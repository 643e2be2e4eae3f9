"""One row of numbers a structure, gathered in one pass over a source: all that a survey needs of it."""

import hashlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mlip_design.data.formats.contract import Entry
from mlip_design.data.label_statistics import ReferenceEnergies, compositions
from mlip_design.data.survey.fingerprint import N_FEATURES, fingerprint
from mlip_design.data.survey.work import WorkPairs
from mlip_design.structures import MAX_ATOMIC_NUMBER, Structure

COLUMNS = ("energy", "largest_force", "force_squares", "force_sum", "net_force", "has_stress", "is_periodic")


@dataclass(frozen=True)
class SurveyTable:
    """n_structures rows, in the order of the source."""

    names: list[str]
    groups: int
    sizes: np.ndarray
    """(n_structures,) int64."""
    composition: np.ndarray
    """(n_structures,) int64, row of `counts`."""
    counts: np.ndarray
    """(n_compositions, 119), atoms of each element in every composition that occurs."""
    values: dict[str, np.ndarray]
    """`COLUMNS` -> (n_structures,): eV; eV/Å, largest norm; squares, magnitudes and norm of the sum of components."""
    content: np.ndarray
    """(n_structures, 2) uint64, hash of numbers, positions, cell and periodicity."""
    fingerprints: np.ndarray
    """(n_structures, N_FEATURES)."""
    work: WorkPairs
    """Neighbouring frames, whose energies and forces must agree."""
    left_out: list[tuple[str, str]]
    """Names and reasons of structures that cannot be used."""

    @property
    def reference_energies(self) -> dict[int, float]:
        """Atomic number -> eV an atom, by least squares."""
        references = ReferenceEnergies()
        for start in range(0, len(self.sizes), 4096):
            rows = slice(start, start + 4096)
            references.add(self.counts[self.composition[rows]], self.values["energy"][rows])
        return references.solve()


def tabulate(entries: Iterable[Entry]) -> SurveyTable:
    """The table of all structures of a stream."""
    names, left_out, groups, alone = [], [], set(), 0
    sizes, composition, values, content, prints = array("q"), array("q"), array("d"), bytearray(), array("d")
    known: dict[bytes, int] = {}
    work = WorkPairs()
    for entry in entries:
        structure = entry.structure
        if structure is None:
            left_out.append((entry.name, entry.reason))
            continue
        names.append(entry.name)
        groups.add(entry.group)
        alone += entry.group is None
        sizes.append(len(structure.numbers))
        counts = compositions(structure.numbers, np.zeros(len(structure.numbers), dtype=int), 1)
        composition.append(known.setdefault(counts.astype(np.int32).tobytes(), len(known)))
        values.frombytes(row(structure).tobytes())
        content += digest(structure)
        prints.frombytes(fingerprint(structure).tobytes())
        work.add(structure)
    count = len(names)
    columns = np.frombuffer(values).reshape(count, len(COLUMNS)).T
    return SurveyTable(
        names=names,
        groups=len(groups - {None}) + alone,
        sizes=np.frombuffer(sizes, dtype=np.int64),
        composition=np.frombuffer(composition, dtype=np.int64),
        counts=np.frombuffer(b"".join(known), dtype=np.int32)
        .reshape(len(known), MAX_ATOMIC_NUMBER + 1)
        .astype(np.float64),
        values=dict(zip(COLUMNS, columns, strict=True)),
        content=np.frombuffer(bytes(content), dtype=np.uint64).reshape(count, 2),
        fingerprints=np.frombuffer(prints).reshape(count, N_FEATURES),
        work=work,
        left_out=left_out,
    )


def row(structure: Structure) -> np.ndarray:
    """The values of `COLUMNS`."""
    forces = structure.forces
    return np.array(
        [
            structure.energy,
            np.linalg.norm(forces, axis=1).max(),
            np.square(forces).sum(),
            np.abs(forces).sum(),
            np.linalg.norm(forces.sum(0)),
            structure.stress is not None,
            structure.pbc.any(),
        ],
        dtype=np.float64,
    )


def digest(structure: Structure) -> bytes:
    """16 bytes that differ wherever a geometry does."""
    parts = (structure.numbers, structure.positions, structure.cell, structure.pbc)
    return hashlib.blake2b(b"".join(part.tobytes() for part in parts), digest_size=16).digest()
