"""What the processes of a build do: prepare a structure, make a scan. What the folder holds already is kept.

<out>/structures/<index>.xyz            start structures, relaxed if asked for, or why one is left out
<out>/<group>/<system_id>/              whole scans
<out>/.partial/systems/<group>/<system_id>/   scans in the making, or with too few labels
"""

import json
import os
import re
from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import ase.io
import numpy as np

from mlip_design.bsct.building.bonds import find_bonds
from mlip_design.bsct.building.files import extxyz, partition
from mlip_design.bsct.building.kinds import find_motions
from mlip_design.bsct.building.label import label, relax
from mlip_design.bsct.building.motions import Motion
from mlip_design.bsct.building.recipe import Recipe, Source
from mlip_design.structures import Structure, from_atoms

DECIMALS = (12, 9, 8)
"""Of positions (Å), energies (eV) and forces (eV/Å); positions and cells are rounded before they are labelled."""


class Made(NamedTuple):
    """A scan: frames with a label, and how many have none for each reason."""

    kept: int
    failures: Counter

    @property
    def whole(self) -> bool:
        """Whether it can be used."""
        return self.kept >= 2


def prepare(out: Path, recipe: Recipe, index: int, source: Source) -> None:
    """Relax a structure, if asked for, label and write it with the reason why it is to be left out, if there is one."""
    path = structure_file(out, index)
    if path.exists():
        return
    structure, reason = source.structure, ""
    if recipe.relax:
        structure, reason = relax(structure, recipe)
        if not (reason or structure.pbc.any()) and bonds_of(structure, recipe) != bonds_of(
            source.structure, recipe
        ):
            reason = "relaxation: bonds changed"
    info = {"source": json.dumps(source.name, ensure_ascii=False)}
    write(out, path, frame(structure, recipe, info, reason))


def bonds_of(structure: Structure, recipe: Recipe) -> list[tuple[int, int]]:
    return find_bonds(structure.numbers, structure.positions, recipe.radii_factor)


def prepared(out: Path, index: int) -> tuple[Structure, str]:
    """A structure that was prepared, and why it is left out or ""."""
    path = structure_file(out, index)
    return from_atoms(ase.io.read(path, format="extxyz")), failure_of(path)


def structure_file(out: Path, index: int) -> Path:
    return out / "structures" / f"{index:04d}.xyz"


def frame(structure: Structure, recipe: Recipe, info: dict, reason: str = "") -> bytes:
    """A structure with its label as extended XYZ; without one, for a reason or for want of an answer, NaN and why."""
    rounded = {"positions": structure.positions.round(DECIMALS[0]), "cell": structure.cell.round(DECIMALS[0])}
    structure = replace(structure, **rounded)
    found = label(structure, recipe)
    if reason := reason or found.failure:
        info = info | {"failure": json.dumps(reason, ensure_ascii=False)}
    around = {"cell": structure.cell, "pbc": structure.pbc} if structure.pbc.any() else {}
    values = structure.numbers, structure.positions, found.energy, found.forces
    return extxyz(*values, DECIMALS, stress=found.stress, **around, **info).encode()


def failure_of(path: Path) -> str:
    """Why a frame has no label, "" if it has one."""
    with open(path, encoding="utf-8") as file:
        header = [file.readline(), file.readline()][1]
    found = re.search(r'failure=("(?:[^"\\]|\\.)*")', header)
    return json.loads(found[1]) if found else ""


def scan(out: Path, recipe: Recipe, index: int, source: str, system_id: str) -> Made:
    """Make one scan of a prepared structure, frame by frame, and move it to its place if it is whole."""
    structure, _ = prepared(out, index)
    motions = (found for found in find_motions(structure, recipe) if isinstance(found, Motion))
    motion = next(found for found in motions if found.system_id(index) == system_id)
    place = out / motion.group / system_id
    folder = place if place.exists() else out / ".partial" / "systems" / motion.group / system_id
    names = [f"atoms_{k}.xyz" for k in range(recipe.frames)]
    if folder != place:
        text = json.dumps(source, ensure_ascii=False)
        info = {"id": system_id, "bond": motion.group, "source": text}
        coordinates = np.linspace(*motion.ends, recipe.frames)
        moved = ((name, motion.at(coordinate)) for name, coordinate in zip(names, coordinates, strict=True))
        for name, content in chain([("unperturbed.xyz", motion.start)], moved):
            if not (folder / name).exists():
                write(out, folder / name, frame(content, recipe, info))
        perturb_range = (*motion.ends, recipe.frames)
        further = {} if motion.atoms == motion.bond else {"atoms": np.array(motion.atoms, dtype=np.int64)}
        content = partition(motion.group, motion.bond, motion.labels, perturb_range, motion.axis, **further)
        write(out, folder / "partition.npz", content)
    failures = Counter(filter(None, (failure_of(folder / name) for name in names)))
    made = Made(recipe.frames - failures.total(), failures)
    if made.whole and folder != place:
        place.parent.mkdir(exist_ok=True)
        folder.rename(place)
    return made


def write(out: Path, path: Path, content: bytes) -> None:
    """Write a file of a build whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = out / ".partial" / f"{os.getpid()}"
    partial.parent.mkdir(exist_ok=True)
    partial.write_bytes(content)
    partial.replace(path)
