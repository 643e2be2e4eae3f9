"""What is asked of a build: which scans, of which structures, at which level of theory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols

from mlip_design.bsct.coordinates import STRESSED
from mlip_design.evaluator import Evaluator, open_evaluator
from mlip_design.structures import Structure, read_geometries

HEAVY, EVERY = "heavy", "all"
"""Choices of bonds: those without hydrogen, as published, or all of them."""


class Source(NamedTuple):
    """A structure and where it comes from: a SMILES, or a file and frame."""

    name: str
    structure: Structure


@dataclass(frozen=True)
class Recipe:
    """How scans are made.

    kind: of scan, a key of `kinds.KINDS`. range: first and last coordinate, in the unit of its kind. frames: how
    many, equally spaced. radii_factor: two atoms are bonded below this many sums of their covalent radii. bonds: their
    types, such as ("C-N",), or `HEAVY` or `EVERY`. relax: whether structures are relaxed first. calculator, arguments:
    of `open_evaluator`.
    """

    kind: str
    range: tuple[float, float]
    frames: int
    radii_factor: float
    bonds: tuple[str, ...]
    relax: bool
    calculator: str
    arguments: tuple[str, ...]

    def __post_init__(self):
        if self.frames < 2:
            raise ValueError(f"--frames: {self.frames}, expected at least 2")
        if not 1 < self.radii_factor < 2:
            raise ValueError(f"--radii-factor: {self.radii_factor:g}, expected more than 1, less than 2")

    @property
    def takes_stress(self) -> bool:
        """Whether frames are labelled with stresses, too."""
        return self.kind in STRESSED

    def wants(self, bond: str) -> bool:
        """Whether bonds of this type, such as "C-N", are asked for."""
        heavy = HEAVY in self.bonds and "H" not in bond.split("-")
        return heavy or EVERY in self.bonds or bond in self.bonds


def bond_types(text: str) -> tuple[str, ...]:
    """The choice of bonds in a text such as "C-N,O-C", "heavy" or "all"; elements of a type are put in order.

    Raises ValueError, naming the closest match, for anything else.
    """
    found = []
    for word in text.split(","):
        symbols = word.split("-")
        unknown = [symbol for symbol in symbols if symbol not in chemical_symbols[1:]]
        if word in (HEAVY, EVERY) or (len(symbols) == 2 and not unknown):
            found.append("-".join(sorted(symbols)))
        else:
            pairs = "-".join((get_close_matches(s.title(), chemical_symbols, 1, 0) or ["C"])[0] for s in symbols)
            closest = (get_close_matches(word, [HEAVY, EVERY, pairs], 1) or [pairs])[0]
            raise ValueError(
                f"{word!r} is not a bond type such as C-N, nor {HEAVY} or {EVERY}; closest: {closest}"
            )
    return tuple(sorted(found))


@cache
def evaluator_of(recipe: Recipe) -> Evaluator:
    """The level of theory, opened once in a process."""
    return open_evaluator(recipe.calculator, recipe.arguments)


def from_files(paths: Sequence[str]) -> list[Source]:
    """Every frame of files that ASE reads. Raises StructureError or FileNotFoundError."""
    return [Source(f"{path}:{k}", s) for path in paths for k, s in enumerate(read_geometries(path))]


def from_smiles(texts: Sequence[str], seed: int) -> list[Source]:
    """A conformer (ETKDG) of every SMILES. Raises ValueError for one that RDKit cannot read or place."""
    from rdkit import Chem, rdBase

    from mlip_design.data.molecules import conformer, describe

    sources = []
    for text in texts:
        with rdBase.BlockLogs():
            if not text or Chem.MolFromSmiles(text) is None:
                raise ValueError(f"--smiles: {text!r} is not a valid SMILES")
            positions = conformer(text, seed)
        if positions is None:
            raise ValueError(f"--smiles: no conformer of {text!r} found; give it as --structures")
        numbers = np.array(describe(text).numbers)
        sources.append(Source(text, Structure(numbers, positions, np.zeros((3, 3)), np.zeros(3, dtype=bool))))
    return sources


def fingerprint(sources: Sequence[Source]) -> str:
    """Hash of all structures and their names."""
    found = hashlib.sha256()
    for name, structure in sources:
        found.update(name.encode())
        for values in (structure.numbers, structure.positions, structure.cell, structure.pbc):
            found.update(values.tobytes())
    return found.hexdigest()
