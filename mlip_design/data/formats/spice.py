"""SPICE HDF5 files (https://github.com/openmm/spice-dataset): a group for each molecule.

A group holds `smiles`, `atomic_numbers` (n_atoms,), `conformations` (n_frames, n_atoms, 3) in bohr, `dft_total_energy`
(n_frames,) in hartree and `dft_total_gradient` (n_frames, n_atoms, 3) in hartree/bohr, of which the force is the
negative. The attribute `units` is checked where there is one. The SMILES is the group: a molecule that is in several
subsets is one.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from ase.units import Bohr, Hartree

from mlip_design.data.formats.contract import Entry, Labels, attempt
from mlip_design.structures import Structure, StructureError, require_label, validate

UNITS = {
    "conformations": "bohr",
    "dft_total_energy": "hartree",
    "formation_energy": "hartree",
    "dft_total_gradient": "hartree/bohr",
}
ENERGIES = ("dft_total_energy", "formation_energy")
GRADIENT = "dft_total_gradient"


def read_spice(path: Path, labels: Labels) -> Iterator[Entry]:
    """Entries of a SPICE file. labels.energy: `dft_total_energy` unless given."""
    labels.refuse(path, "SPICE", "forces", "stress", "group")
    energy_key = labels.energy or ENERGIES[0]
    if energy_key not in ENERGIES:
        raise StructureError(f"{path}: --energy-key {energy_key} is not one of {', '.join(ENERGIES)}")
    with h5py.File(path) as file:
        for index, name in enumerate(file):
            where, fraction = f"{path}, {name}", (index + 1) / len(file)
            check_layout(file[name], where)
            try:
                molecule = loaded(file[name], where, energy_key)
            except StructureError as error:
                yield Entry(where, fraction, None, reason=str(error).removeprefix(f"{where}: "))
                continue
            for frame in range(len(molecule["conformations"])):
                place = f"{where}, conformation {frame}"
                yield attempt(place, fraction, partial(conformation, molecule, frame, place))


def loaded(group: h5py.Group, where: str, energy_key: str) -> dict:
    """The arrays of a molecule in the units of the file, its energies under "energy". Raises StructureError."""
    for key in ("atomic_numbers", "conformations", energy_key, GRADIENT):
        if key not in group:
            raise StructureError(f"{where}: no {key!r} (has: {', '.join(sorted(group)) or 'nothing'})")
    molecule = {key: group[key][()] for key in ("atomic_numbers", "conformations", GRADIENT)}
    molecule["energy"] = group[energy_key][()]
    shape = (len(molecule["energy"]), len(molecule["atomic_numbers"]), 3)
    for key in ("conformations", GRADIENT):
        if molecule[key].shape != shape:
            raise StructureError(f"{where}: {key!r} has shape {molecule[key].shape}, not {shape}")
    smiles = group["smiles"].asstr()[()] if "smiles" in group else where
    return molecule | {"smiles": str(np.ravel(smiles)[0])}


def check_layout(group: h5py.Group, where: str) -> None:
    """Raise StructureError, for the whole file, for what is no group or says that it is in other units than SPICE."""
    if not isinstance(group, h5py.Group):
        raise StructureError(f"{where}: is no group of a molecule, as the SPICE layout has it")
    for key in UNITS.keys() & set(group):
        units = group[key].attrs.get("units", UNITS[key])
        if units != UNITS[key]:
            raise StructureError(f"{where}, {key}: units are {units!r}, allowed is {UNITS[key]!r}")


def conformation(molecule: dict, frame: int, where: str) -> tuple[Structure, str]:
    """One frame of a molecule as `loaded` left it, and its group."""
    numbers = molecule["atomic_numbers"].astype(np.int64)
    labels = {key: molecule[key][frame] for key in ("energy", GRADIENT)}
    structure = Structure(
        numbers=numbers,
        positions=molecule["conformations"][frame].astype(np.float64) * Bohr,
        cell=np.zeros((3, 3)),
        pbc=np.zeros(3, dtype=bool),
        energy=float(require_label(labels, "energy", where, ()) * Hartree),
        forces=-require_label(labels, GRADIENT, where, (len(numbers), 3)) * (Hartree / Bohr),
    )
    validate(structure, where)
    return structure, molecule["smiles"]
