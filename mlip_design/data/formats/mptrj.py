"""MPtrj JSON files (https://doi.org/10.6084/m9.figshare.23713842): material -> frame -> structure and labels.

A frame holds `structure` (a pymatgen dictionary), `corrected_total_energy` and `uncorrected_total_energy` (eV), `force`
(eV/Å) and `stress` (kBar, with VASP's sign, opposite to ASE's). The corrected energy is the default: the set mixes GGA
and GGA+U, whose raw energies are not comparable, and the MP2020 correction makes them so. The material is the group.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import ijson
import numpy as np
from ase.data import atomic_numbers
from ase.units import GPa

from mlip_design.data.formats.contract import Entry, Labels, attempt
from mlip_design.streams import streamed
from mlip_design.structures import Structure, StructureError, require_label, validate

KILOBAR = -0.1 * GPa
"""eV/Å^3 in ASE's sign, of a kBar in VASP's."""


def read_mptrj(path: Path, labels: Labels) -> Iterator[Entry]:
    """Entries of an MPtrj file, compressed or not. labels.energy: `corrected_total_energy` unless given."""
    labels.refuse(path, "MPtrj", "forces", "stress", "group")
    with streamed(path) as stream:
        for material, frames in ijson.kvitems(stream.content, "", use_float=True):
            if not isinstance(frames, dict) or not all(isinstance(frame, dict) for frame in frames.values()):
                raise StructureError(f"{path}, {material}: is no mapping of frames, as the MPtrj layout has it")
            for name, frame in frames.items():
                where = f"{path}, {material}, {name}"
                make = partial(converted, frame, where, labels.energy or "corrected_total_energy", material)
                yield attempt(where, stream.fraction, make)


def converted(frame: dict, where: str, energy_key: str, material: str) -> tuple[Structure, str]:
    """The structure of a frame, and its group."""
    given = {key: value for key, value in frame.items() if value is not None}
    if "structure" not in given:
        raise StructureError(f"{where}: no 'structure' (has: {', '.join(sorted(given)) or 'nothing'})")
    lattice, sites = given["structure"]["lattice"], given["structure"]["sites"]
    cell = require_label(lattice, "matrix", where, (3, 3))
    fractions = np.array([site["abc"] for site in sites], dtype=np.float64).reshape(-1, 3)
    structure = Structure(
        numbers=np.array([element(site, where) for site in sites], dtype=np.int64),
        positions=fractions @ cell,
        cell=cell,
        pbc=np.array(lattice.get("pbc", (True, True, True)), dtype=bool),
        energy=float(require_label(given, energy_key, where, ())),
        forces=require_label(given, "force", where, (len(sites), 3)),
        stress=KILOBAR * require_label(given, "stress", where, (3, 3)) if "stress" in given else None,
    )
    validate(structure, where)
    return structure, material


def element(site: dict, where: str) -> int:
    """Atomic number of a site, which must be one whole atom."""
    species = site["species"]
    symbol = species[0]["element"]
    if len(species) != 1 or species[0]["occu"] != 1:
        raise StructureError(f"{where}: a site is shared or partly empty ({species}), it must be one atom")
    if symbol not in atomic_numbers:
        raise StructureError(f"{where}: {symbol!r} is no element")
    return atomic_numbers[symbol]
