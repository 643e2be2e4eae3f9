"""The properties there are: what each is of, and the function that computes it."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import NamedTuple

from mlip_design.bsct.building.bonds import find_bonds, pieces
from mlip_design.properties.atomisation import atomisation
from mlip_design.properties.case import Case
from mlip_design.properties.dimer import dimer
from mlip_design.properties.elastic import elastic
from mlip_design.properties.eos import eos
from mlip_design.properties.measured import LeftOut, Measured
from mlip_design.properties.phonons import phonons
from mlip_design.properties.relax import relax
from mlip_design.properties.torsion import RADII_FACTOR, torsion
from mlip_design.properties.vibrations import vibrations
from mlip_design.structures import Structure

MOLECULE, CRYSTAL = "a molecule", "a crystal"
ALL = "all"


class Kind(NamedTuple):
    """A property. of: `MOLECULE` or `CRYSTAL`."""

    of: str
    compute: Callable[[Case], Measured]
    """Raises LeftOut, Failed and what calculators raise."""


KINDS = {
    "relax": Kind(MOLECULE, relax),
    "vibrations": Kind(MOLECULE, vibrations),
    "torsion": Kind(MOLECULE, torsion),
    "dimer": Kind(MOLECULE, dimer),
    "atomisation": Kind(MOLECULE, atomisation),
    "eos": Kind(CRYSTAL, eos),
    "elastic": Kind(CRYSTAL, elastic),
    "phonons": Kind(CRYSTAL, phonons),
}


def chosen(text: str) -> list[str]:
    """The properties of a text such as "relax,eos" or "all". Raises ValueError, naming the closest, for another."""
    words = text.split(",")
    for word in words:
        if word not in KINDS and word != ALL:
            closest = get_close_matches(word, [*KINDS, ALL], 1, 0)[0]
            raise ValueError(f"--properties: {word!r} is not one of {', '.join(KINDS)}, {ALL}; closest: {closest}")
    return [name for name in KINDS if name in words or ALL in words]


def measure(name: str, case: Case) -> Measured:
    """A property of a structure. Raises LeftOut if it is not of that kind, and what `Kind.compute` does."""
    kind = KINDS[name]
    if (found := content(case.structure)) != kind.of:
        raise LeftOut(f"{found}; {name} is of {kind.of}")
    return kind.compute(case)


def content(structure: Structure) -> str:
    """What a structure is: `MOLECULE`, `CRYSTAL` or something else in words."""
    if structure.pbc.any():
        return CRYSTAL if structure.pbc.all() else "a partly periodic structure"
    n_atoms = len(structure.numbers)
    if n_atoms == 1:
        return "one atom"
    n_pieces = pieces(n_atoms, find_bonds(structure.numbers, structure.positions, RADII_FACTOR)).max() + 1
    return MOLECULE if n_pieces == 1 else f"{n_pieces} molecules"
