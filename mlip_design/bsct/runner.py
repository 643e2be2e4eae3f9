"""Scans through a potential: frames of many scans in one forward, limited by atoms."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from mlip_design.bsct.scan import Prediction, Scan
from mlip_design.graph import AtomGraph, batch_structures, in_batches
from mlip_design.structures import Structure

MOLECULE = {"cell": np.zeros((3, 3)), "pbc": np.zeros(3, dtype=bool)}


def structures_of(numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray | None) -> list[Structure]:
    """Every frame of a scan. numbers: (n_atoms,). positions: (n_frames, n_atoms, 3), Å. cells: see `Scan`."""
    pbc = np.full(3, cells is not None)
    cells = np.zeros((len(positions), 3, 3)) if cells is None else cells
    return [Structure(numbers, frame, cell, pbc) for frame, cell in zip(positions, cells, strict=True)]


def scan_batches(scans: Sequence[Scan], cutoff: float, max_atoms: int, dtype: torch.dtype) -> Iterator[AtomGraph]:
    """All frames of all scans, in order, as graphs of at most max_atoms atoms (one frame at least).

    cutoff: Å, of the potential that will see them; dtype: its floating-point type.
    """
    frames = (frame for scan in scans for frame in structures_of(scan.numbers, scan.positions, scan.cells))
    for batch in in_batches(frames, max_atoms):
        yield batch_structures(batch, cutoff, dtype)


def predict_scans(
    potential: nn.Module, scans: Sequence[Scan], batches: Iterable[AtomGraph], device: torch.device | str
) -> list[Prediction]:
    """Energies, forces and, where the scan has them, stresses of every scan, in float64.

    batches: what `scan_batches` gives for the same scans; kept by a caller who predicts more than once.
    """
    if not scans:
        return []
    energies, forces, stresses = [], [], []
    stressed = any(scan.stresses is not None for scan in scans)
    with torch.no_grad():
        for graph in batches:
            stress = stressed and bool(graph.cell.any())
            prediction = potential(graph.to(device), stress=stress)
            stresses.append(
                prediction.stress.double().cpu().numpy() if stress else np.full(graph.cell.shape, np.nan)
            )
            energies.append(prediction.energy.double().cpu().numpy())
            forces.append(prediction.forces.double().cpu().numpy())
    frames = np.cumsum([len(scan.lengths) for scan in scans])[:-1]
    atoms = np.cumsum([scan.positions[..., 0].size for scan in scans])[:-1]
    split_energies = np.split(np.concatenate(energies), frames)
    split_forces = np.split(np.concatenate(forces), atoms)
    split_stresses = np.split(np.concatenate(stresses), frames)
    return [
        (e, f.reshape(scan.positions.shape), *([] if scan.stresses is None else [s]))
        for scan, e, f, s in zip(scans, split_energies, split_forces, split_stresses, strict=True)
    ]
