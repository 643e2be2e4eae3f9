"""Files of the bundled set: extended XYZ, tar archives in the published BSCT layout, `manifest.json`."""

import hashlib
import importlib.metadata
import io
import json
import lzma
import tarfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols
from scipy.spatial.transform import Rotation

from mlip_design.data.bundling.frames import COLUMNS, LABEL, SCAN_FRAMES, Arrays
from mlip_design.data.bundling.plan import Plan
from mlip_design.data.molecules import Molecule, bond_range, describe


def extxyz(
    numbers: Iterable[int], positions: np.ndarray, energy: float, forces: np.ndarray, digits: int, **info
) -> str:
    """One frame as extended XYZ: positions (Å, `digits` decimals), forces (eV/Å, 4), energy (eV, 6)."""
    words = [f"{key}={value}" for key, value in info.items()]
    comment = ["Properties=species:S:1:pos:R:3:forces:R:3", *words, f"energy={energy:.6f}", 'pbc="F F F"']
    lines = [str(len(positions)), " ".join(comment)]
    for number, x, f in zip(numbers, positions, forces, strict=True):
        columns = [f"{value:.{digits}f}" for value in x] + [f"{value:.4f}" for value in f]
        lines.append(" ".join([chemical_symbols[number], *columns]))
    return "\n".join(lines) + "\n"


def compress(data: bytes) -> bytes:
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


def frames_file(molecules: list[tuple[str, Arrays]]) -> bytes:
    text = []
    for smiles, arrays in molecules:
        numbers = describe(smiles).numbers
        columns = zip(*(arrays[name] for name in COLUMNS), strict=True)
        for config_type, positions, energy, forces in columns:
            info = {"smiles": f'"{smiles}"', "config_type": config_type}
            text.append(extxyz(numbers, positions, energy, forces, 4, **info))
    return compress("".join(text).encode())


def partition(molecule: Molecule, arrays: Arrays, bond_type: str) -> bytes:
    """`partition.npz` as published: `unit_vec` points from label 0 to 1, `rotation` turns the bond onto x."""
    bond = tuple(int(atom) for atom in arrays["bond"])
    start = arrays["positions"][-1]
    vector = start[bond[1]] - start[bond[0]]
    unit = vector / np.linalg.norm(vector)
    x, y, z = Rotation.align_vectors([[1, 0, 0]], [unit])[0].as_euler("xyz", degrees=True)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        bond=np.array(bond_type),
        bond_index=np.array(bond, dtype=np.int64),
        labels=molecule.fragment(bond),
        perturb_range=np.array([*bond_range(molecule, bond), SCAN_FRAMES], dtype=float),
        rotation=np.array(f"{x:.2f}x,{y:.2f}y,{z:.2f}z"),
        unit_vec=unit,
    )
    return buffer.getvalue()


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
            text = extxyz(molecule.numbers, positions, energy, forces, 5, **info)
            members[f"{folder}/{name}.xyz"] = text.encode()
        members[f"{folder}/partition.npz"] = partition(molecule, arrays, bond_type)
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
