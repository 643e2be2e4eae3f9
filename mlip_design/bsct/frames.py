"""The frames of one scan from extended XYZ text, energies in eV, positions in Å, forces in eV/Å, stress in eV/Å^3.

Frames as published differ in numbers only: what ASE makes of the first one then holds for all of them, and the numbers
are read without it, five times as fast. Whatever else a file holds, ASE reads it.
"""

import contextlib
import io
import re
from typing import NamedTuple

import ase
import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

from mlip_design.bsct.layout import ScanError, SystemFiles
from mlip_design.structures import parsed

ENERGY = re.compile(r"(?<=\s)energy=([-+.\deE]+|nan|NaN)(?=\s|$)")
COLUMNS = re.compile(r"(^|\s)Properties=species:S:1:pos:R:3:forces:R:3(\s|$)")
ROW = np.dtype([("symbol", "U3"), ("position", float, 3), ("force", float, 3)])
"""Of these columns; a symbol of three letters is one too long."""


class Frame(NamedTuple):
    """One frame as it is in its file, unchecked."""

    numbers: np.ndarray
    """(n_atoms,)."""
    positions: np.ndarray
    """(n_atoms, 3), Å."""
    cell: np.ndarray
    """(3, 3), Å."""
    pbc: np.ndarray
    """(3,) bool."""
    energy: float
    """eV; infinity, which no check lets pass, when it is missing or not one number."""
    forces: np.ndarray | None
    """(n_atoms, 3), eV/Å; None when they are missing."""
    stress: np.ndarray | None = None
    """(3, 3), eV/Å^3, sign as in ASE; None when it is missing or not six or nine numbers."""


def read_frames(system: SystemFiles, count: int) -> list[Frame]:
    """Frames atoms_0.xyz ... atoms_<count-1>.xyz. Raises ScanError naming the first that cannot be read."""
    texts = []
    for i in range(count):
        location = f"{system.location}/atoms_{i}.xyz"
        try:
            texts.append(system.readers[f"atoms_{i}.xyz"]().decode().rstrip() + "\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ScanError(f"{location}: unreadable ({error})") from error
        _check_line_count(texts[-1], location)
    try:
        return _alike(texts) or [_frame(atoms) for atoms in _atoms(texts)]
    except Exception as error:  # ASE raises many kinds on damaged files
        location = f"{system.location}/atoms_{_first_unreadable(texts)}.xyz"
        raise ScanError(f"{location}: not extended XYZ ({error!r})") from error


def _alike(texts: list[str]) -> list[Frame]:
    """The frames, if they differ in nothing but energy, positions and forces; otherwise none."""
    counts, headers, rows = zip(*(text.split("\n", 2) for text in texts), strict=True)
    template = ENERGY.sub("energy=", headers[0])
    if not COLUMNS.search(template) or any(ENERGY.sub("energy=", header) != template for header in headers):
        return []
    first, found = _frame(next(_atoms(texts[:1]))), [ENERGY.findall(header) for header in headers]
    try:
        table = np.loadtxt(io.StringIO("".join(rows)), ROW, comments=None, ndmin=1)
        table = table.reshape(len(texts), int(counts[0]))
        energies = [float(energy) for (energy,) in found]
    except ValueError:
        return []
    alike = len(set(counts)) == 1 and (table["symbol"] == table["symbol"][0]).all()
    if not alike or not np.array_equal(energies[0], first.energy, equal_nan=True):
        return []
    numbers = zip(energies, table["position"], table["force"], strict=True)
    return [Frame(first.numbers, at, first.cell, first.pbc, energy, forces) for energy, at, forces in numbers]


def _atoms(texts: list[str]):
    """What ASE reads; with one call for all of them, which is four times as fast as one call each."""
    return parsed("".join(texts))


def _frame(atoms: ase.Atoms) -> Frame:
    results = atoms.calc.results if atoms.calc else {}
    energy = np.asarray(results.get("energy"))
    energy = float(energy) if energy.shape == () and energy.dtype.kind in "fi" else np.inf
    stress = np.asarray(results.get("stress"))
    stress = voigt_6_to_full_3x3_stress(stress) if stress.shape == (6,) and stress.dtype.kind in "fi" else None
    around = atoms.cell[:], atoms.pbc
    return Frame(atoms.numbers, atoms.positions, *around, energy, results.get("forces"), stress)


def _first_unreadable(texts: list[str]) -> int:
    """Index of the frame at which ASE stops."""
    n_read = 0
    with contextlib.suppress(Exception):
        for _ in _atoms(texts):
            n_read += 1
    return n_read


def _check_line_count(text: str, location: str) -> None:
    """Without this a truncated frame would be completed with lines of the next one."""
    lines = text.split("\n")
    n_lines = len(lines) - 3  # the count, the header, and nothing after the last newline
    if n_lines < 1 or lines[0].strip() != str(n_lines):
        raise ScanError(f"{location}: first line is {lines[0][:40]!r}, expected the number of atoms, {n_lines}")
