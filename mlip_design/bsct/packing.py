"""Many scans as a few flat arrays, for a file."""

from collections.abc import Mapping, Sequence

import numpy as np

from mlip_design.bsct.scan import Scan


def pack(scans: Sequence[Scan]) -> dict[str, np.ndarray]:
    """Arrays that `unpack` turns into the same scans."""
    if not scans:
        return {}
    return {
        "bond": np.array([scan.bond for scan in scans]),
        "system_id": np.array([scan.system_id for scan in scans]),
        "bond_index": np.array([scan.bond_index for scan in scans]),
        "n_frames": np.array([len(scan.lengths) for scan in scans]),
        "n_atoms": np.array([len(scan.numbers) for scan in scans]),
        "numbers": np.concatenate([scan.numbers for scan in scans]),
        "lengths": np.concatenate([scan.lengths for scan in scans]),
        "energies": np.concatenate([scan.energies for scan in scans]),
        "positions": np.concatenate([scan.positions.ravel() for scan in scans]),
        "forces": np.concatenate([scan.forces.ravel() for scan in scans]),
        "has_cells": np.array([scan.cells is not None for scan in scans]),
        "cells": joined_tensors([scan.cells for scan in scans]),
        "has_stresses": np.array([scan.stresses is not None for scan in scans]),
        "stresses": joined_tensors([scan.stresses for scan in scans]),
    }


def unpack(arrays: Mapping[str, np.ndarray]) -> list[Scan]:
    """Scans of `pack`. Raises KeyError or ValueError (ScanError too) for arrays that are not."""
    if not arrays:
        return []
    frames, atoms = arrays["n_frames"], arrays["n_atoms"]
    return [
        Scan(
            str(bond),
            str(system_id),
            numbers,
            lengths,
            positions,
            energies,
            forces,
            bond_index,
            cells,
            stresses,
        )
        for bond, system_id, bond_index, numbers, lengths, energies, positions, forces, cells, stresses in zip(
            arrays["bond"],
            arrays["system_id"],
            arrays["bond_index"],
            split(arrays["numbers"], atoms),
            split(arrays["lengths"], frames),
            split(arrays["energies"], frames),
            split_vectors(arrays["positions"], frames, atoms),
            split_vectors(arrays["forces"], frames, atoms),
            split_tensors(arrays["cells"], frames, arrays["has_cells"]),
            split_tensors(arrays["stresses"], frames, arrays["has_stresses"]),
            strict=True,
        )
    ]


def split(values: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    """A flat array in parts of given sizes. Raises ValueError if they do not add up to its own."""
    if len(values) != sizes.sum():
        raise ValueError(f"{len(values)} values in parts of {sizes.sum()}")
    return np.split(values, np.cumsum(sizes)[:-1])


def split_vectors(values: np.ndarray, frames: np.ndarray, atoms: np.ndarray) -> list[np.ndarray]:
    """A flat array in parts of shape (n_frames, n_atoms, 3)."""
    parts = split(values, frames * atoms * 3)
    return [part.reshape(f, a, 3) for part, f, a in zip(parts, frames, atoms, strict=True)]


def joined_tensors(tensors: Sequence[np.ndarray | None]) -> np.ndarray:
    """Arrays of shape (n_frames, 3, 3), as far as there are any, as one flat array."""
    return np.concatenate([np.empty(0), *(values.ravel() for values in tensors if values is not None)])


def split_tensors(values: np.ndarray, frames: np.ndarray, has: np.ndarray) -> list[np.ndarray | None]:
    """What `joined_tensors` was given. has: which of them are arrays. Raises ValueError."""
    parts = split_vectors(values, frames * has, np.full_like(frames, 3))
    return [part if known else None for part, known in zip(parts, has, strict=True)]
