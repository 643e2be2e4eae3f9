"""Files of the bundled set: extended XYZ, tar archives in the published BSCT layout, `manifest.json`."""

import hashlib
import importlib.metadata
import io
import json
import lzma
import tarfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mlip_design.bsct.building.files import extxyz, partition
from mlip_design.data.bundling.frames import COLUMNS, LABEL, SCAN_FRAMES, Arrays
from mlip_design.data.bundling.plan import Plan
from mlip_design.data.molecules import Molecule, bond_range, describe


def compress(data: bytes) -> bytes:
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


def frames_file(molecules: list[tuple[str, Arrays]]) -> bytes:
    text = []
    for smiles, arrays in molecules:
        numbers = describe(smiles).numbers
        columns = zip(*(arrays[name] for name in COLUMNS), strict=True)
        for config_type, positions, energy, forces in columns:
            info = {"smiles": f'"{smiles}"', "config_type": config_type}
            text.append(extxyz(numbers, positions, energy, forces, (4, 6, 4), **info))
    return compress("".join(text).encode())


def partition_of(molecule: Molecule, arrays: Arrays, bond_type: str) -> bytes:
    """`partition.npz` of a scan."""
    bond = tuple(int(atom) for atom in arrays["bond"])
    start = arrays["positions"][-1]
    vector = start[bond[1]] - start[bond[0]]
    unit = vector / np.linalg.norm(vector)
    perturb_range = (*bond_range(molecule, bond), SCAN_FRAMES)
    return partition(bond_type, bond, molecule.fragment(bond), perturb_range, unit)


def scans_file(scans: list[tuple[str, str, Arrays]], first_id: int) -> bytes:
    """Tar archive of scans in the published layout, `<bond>/<system_id>/...`, with fixed metadata."""
    members: dict[str, bytes] = {}
    for system_id, (bond_type, smiles, arrays) in enumerate(scans, start=first_id):
        molecule = describe(smiles)
        folder = f"{bond_type}/{system_id}"
        info = {"id": system_id, "bond": bond_type, "smiles": f'"{smiles}"', "dataset": "bundled"}
        names = [f"atoms_{k}" for k in range(SCAN_FRAMES)] + ["unperturbed"]
        rows = zip(names, arrays["positions"], arrays["energies"], arrays["forces"], strict=True)
        for name, positions, energy, forces in rows:
            text = extxyz(molecule.numbers, positions, energy, forces, (5, 6, 4), **info)
            members[f"{folder}/{name}.xyz"] = text.encode()
        members[f"{folder}/partition.npz"] = partition_of(molecule, arrays, bond_type)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return compress(buffer.getvalue())


def write_set(out: Path, plan: Plan, frames: dict, scans: dict, dropped: Counter) -> dict:
    """Write the data files and `manifest.json`; returns the manifest."""
    out.mkdir(parents=True, exist_ok=True)
    content = {f"{name}.xyz.xz": frames_file(molecules) for name, molecules in frames.items()}
    content["scans_val.tar.xz"] = scans_file(scans["val"], 1)
    content["scans_test.tar.xz"] = scans_file(scans["test"], 1 + len(scans["val"]))
    counts = {name: sum(len(a["energies"]) for _, a in molecules) for name, molecules in frames.items()}
    manifest = {
        "plan": asdict(plan),
        "label": LABEL,
        "units": {"energy": "eV", "forces": "eV/Å", "positions": "Å"},
        "versions": {name: importlib.metadata.version(name) for name in ("ase", "numpy", "rdkit", "tblite")},
        "frames": counts | {f"scans_{name}": SCAN_FRAMES * len(group) for name, group in scans.items()},
        "molecules": {name: [smiles for smiles, _ in molecules] for name, molecules in frames.items()}
        | {f"scans_{name}": [smiles for _, smiles, _ in group] for name, group in scans.items()},
        "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in content.items()
        },
    }
    for name, data in content.items():
        (out / name).write_bytes(data)
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest
