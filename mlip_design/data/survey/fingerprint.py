"""A cheap invariant of a structure: equal for structures that differ by order of atoms, rotation, translation, mirror.

Of every atom, a density of its neighbours in Gaussian shells, g_ik = sum over j of w_j f_k(d_ij) within `CUTOFF`, with
w = sqrt(Z)/3; of the structure, the means over its atoms of g, w g and g^2. As these see no farther than the cutoff, a
molecule adds the principal radii of gyration and a radius weighted by w, a crystal the length of its volume an atom.
Different structures may agree, since only distances are seen, but hardly ever do. Units: lengths in Å, shells without.
"""

import numpy as np

from mlip_design.neighbors import search
from mlip_design.structures import Structure

CUTOFF = 5.0
"""Å."""
CENTRES = np.linspace(0.75, 4.5, 8)
WIDTH = 0.5
"""Å, of the shells."""
N_FEATURES = 3 * len(CENTRES) + 4


def fingerprint(structure: Structure) -> np.ndarray:
    """(N_FEATURES,) float64; changes smoothly with the positions, zero at no neighbours."""
    weight = np.sqrt(structure.numbers) / 3
    first, second, distance = search(structure.positions, structure.cell, structure.pbc, CUTOFF, "ijd")
    source, target = np.concatenate([first, second]), np.concatenate([second, first])
    distance = np.concatenate([distance, distance])
    shells = np.exp(-np.square((distance[:, None] - CENTRES) / WIDTH))
    shells *= (weight[target] * (0.5 + 0.5 * np.cos(np.pi * distance / CUTOFF)))[:, None]
    shape = (len(weight), len(CENTRES))
    place = source.astype(np.int64)[:, None] * shape[1] + np.arange(shape[1])
    density = np.bincount(place.ravel(), shells.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
    means = [density.mean(0), (weight[:, None] * density).mean(0), np.square(density).mean(0)]
    return np.concatenate([*means, extent(structure, weight)])


def extent(structure: Structure, weight: np.ndarray) -> np.ndarray:
    """(4,), Å; what the neighbours within a cutoff do not tell. weight: (n_atoms,), dimensionless."""
    if structure.pbc.any():
        length = np.cbrt(abs(np.linalg.det(structure.cell)) / len(weight))
        return np.array([length, 0.0, 0.0, 0.0])
    centred = structure.positions - structure.positions.mean(0)
    radii = np.linalg.svd(centred, compute_uv=False) / np.sqrt(len(weight))
    weighted = np.sqrt((weight * np.square(centred).sum(1)).mean())
    return np.concatenate([radii, np.zeros(3 - len(radii)), [weighted]])
