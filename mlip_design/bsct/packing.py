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
        "is_crystal": np.array([scan.cells is not None for scan in scans]),
        "cells": np.concatenate([np.empty(0), *(scan.cells.ravel() for scan in scans if scan.cells is not None)]),
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
            cell if n else None,
        )
        for bond, system_id, bond_index, numbers, lengths, energies, positions, forces, n, cell in zip(
            arrays["bond"],
            arrays["system_id"],
            arrays["bond_index"],
            split(arrays["numbers"], atoms),
            split(arrays["lengths"], frames),
            split(arrays["energies"], frames),
            split_vectors(arrays["positions"], frames, atoms),
            split_vectors(arrays["forces"], frames, atoms),
            arrays["is_crystal"],
            split_vectors(arrays["cells"], frames * arrays["is_crystal"], np.full_like(frames, 3)),
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
