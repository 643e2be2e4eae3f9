"""Small files in the layouts in which data sets are published, written without any code of the package."""

import json
import zlib
from pathlib import Path

import h5py
import lmdb
import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db.core import now
from ase.db.row import AtomsRow
from ase.io.jsonio import encode

WATER_SMILES = "[O:1]([H:2])[H:3]"


def waters(count: int, seed: int = 0, sigma: float = 0.1, **results) -> list[Atoms]:
    """Distorted water molecules with random forces that add up to zero; energies -1, -2, ... eV."""
    random = np.random.default_rng(seed)
    images = []
    for index in range(count):
        atoms = molecule("H2O")
        atoms.positions += random.normal(scale=sigma, size=(3, 3))
        forces = random.normal(size=(3, 3))
        atoms.calc = SinglePointCalculator(
            atoms, **{"energy": -1.0 - index, "forces": forces - forces.mean(0), **results}
        )
        images.append(atoms)
    return images


def spice_group(count: int = 3, seed: int = 0, smiles: str = WATER_SMILES) -> dict[str, np.ndarray]:
    """The arrays of one water molecule of SPICE, in bohr and hartree."""
    random = np.random.default_rng(seed)
    geometry = molecule("H2O").positions / 0.529177 + random.normal(scale=0.1, size=(count, 3, 3))
    return {
        "subset": np.array([b"SPICE PubChem Set 1 Single Points Dataset v1.3"]),
        "smiles": np.array([smiles.encode()]),
        "atomic_numbers": np.array([8, 1, 1], dtype=np.int16),
        "conformations": geometry.astype(np.float32),
        "formation_energy": -0.3 + random.normal(size=count),
        "dft_total_energy": -76.4 + random.normal(size=count),
        "dft_total_gradient": random.normal(scale=0.01, size=(count, 3, 3)).astype(np.float32),
    }


SPICE_UNITS = {
    "conformations": "bohr",
    "formation_energy": "hartree",
    "dft_total_energy": "hartree",
    "dft_total_gradient": "hartree/bohr",
}


def write_spice(path: Path, groups: dict[str, dict], units: dict[str, str] = SPICE_UNITS) -> Path:
    """Write a file as the downloader of SPICE does."""
    with h5py.File(path, "w") as file:
        for name, arrays in groups.items():
            group = file.create_group(name)
            for key, values in arrays.items():
                group.create_dataset(key, data=values)
                if key in units:
                    group[key].attrs["units"] = units[key]
    return path


def mptrj_frame(seed: int = 0, **changes) -> dict:
    """A frame of MPtrj: two atoms in a skewed cell, all fields of the published file."""
    random = np.random.default_rng(seed)
    matrix = [[3.1, 0.0, 0.0], [0.4, 3.3, 0.0], [-0.2, 0.5, 3.6]]
    sites = [
        {
            "species": [{"element": element, "occu": 1}],
            "abc": abc,
            "xyz": (np.array(abc) @ matrix).tolist(),
            "label": element,
            "properties": {"magmom": 0.1},
        }
        for element, abc in (("Na", [0.0, 0.0, 0.0]), ("Cl", [0.5, 0.45 + 0.01 * seed, 0.52]))
    ]
    return {
        "structure": {
            "@module": "pymatgen.core.structure",
            "@class": "Structure",
            "charge": None,
            "lattice": {"matrix": matrix, "a": 3.1, "b": 3.324, "c": 3.64, "volume": 36.8},
            "sites": sites,
        },
        "uncorrected_total_energy": -6.75,
        "corrected_total_energy": -7.25 - seed,
        "energy_per_atom": (-7.25 - seed) / 2,
        "ef_per_atom": -2.0,
        "e_per_atom_relaxed": -3.7,
        "ef_per_atom_relaxed": -2.1,
        "force": random.normal(size=(2, 3)).tolist(),
        "stress": [[10.0, 1.0, 2.0], [1.0, -20.0, 3.0], [2.0, 3.0, 30.0]],
        "magmom": [0.1, 0.1],
        "bandgap": 5.0,
        "mp_id": "mp-22862",
        **changes,
    }


def write_mptrj(path: Path, materials: dict[str, dict[str, dict]]) -> Path:
    """Write a file as MPtrj is published."""
    path.write_text(json.dumps(materials))
    return path


def aselmdb_row(atoms: Atoms, plain: bool, **pairs) -> dict:
    """What fairchem stores of atoms. plain: arrays as lists, as its earlier versions wrote them."""
    row = AtomsRow(atoms)
    found = {key: value for key, value in vars(row).items() if key[0] != "_" and key != "id"}
    found |= {"cell": np.asarray(row.cell), "key_value_pairs": pairs, "data": {}, "mtime": now(), "ctime": now()}
    if plain:
        found = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in found.items()}
    return found


def write_aselmdb(path: Path, rows: list[dict], deleted: tuple[int, ...] = ()) -> Path:
    """Write rows 1, 2, ... in the layout of fairchem; those that are deleted have a number only."""

    def packed(value: object) -> bytes:
        return zlib.compress(encode(value).encode())

    with lmdb.open(str(path), subdir=False, map_size=1 << 26) as environment, environment.begin(write=True) as put:
        for index, row in enumerate(rows, start=1):
            if index not in deleted:
                put.put(str(index).encode(), packed(row))
        put.put(b"nextid", packed(len(rows) + 1))
        if deleted:
            put.put(b"deleted_ids", packed(list(deleted)))
        put.put(b"metadata", packed({}))
    return path
