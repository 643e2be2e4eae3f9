"""Errors of predictions against labels, over all structures, by element and by group.

Energies are compared per atom, E / n_atoms, as they are and after a shift: the energy of each element (eV an atom) that
least squares over all labelled structures finds in predicted - reference; another reference energy of the free atoms is
no error that forces or reactions could see. Forces and stresses are compared by component. Units: eV/atom, eV/Å,
eV/Å^3. What has no label or no prediction counts nowhere; what there is nothing of is None.
"""

from typing import Any

import numpy as np
from ase.data import chemical_symbols

from mlip_design.data.label_statistics import ReferenceEnergies, compositions
from mlip_design.evaluation.collected import Collected

CHUNK = 4096
"""Structures whose compositions are in memory together."""


def errors(collected: Collected) -> dict[str, Any]:
    """Everything of "errors", "elements", "groups" and "reference_energies" in the result; docs/using_models.md."""
    shifts = fitted(collected, collected.energies[:, 1] - collected.energies[:, 0])
    shifted = shifted_errors(collected, shifts)
    return {
        "errors": of_structures(collected, shifted, np.arange(len(shifted)), np.arange(len(collected.numbers))),
        "elements": of_elements(collected, shifts),
        "groups": of_groups(collected, shifted),
    }


def fitted(collected: Collected, energies: np.ndarray) -> dict[int, float]:
    """Atomic number -> eV an atom, by least squares of energies (n_structures,), eV, NaN where unknown."""
    known = np.isfinite(energies)
    if not known.any():
        return {}
    sizes, energies = collected.sizes[known], energies[known]
    numbers = collected.numbers[np.repeat(known, collected.sizes)].astype(np.int64)
    references, ends = ReferenceEnergies(), np.concatenate([[0], np.cumsum(sizes)])
    for first in range(0, len(sizes), CHUNK):
        own = sizes[first : first + CHUNK]
        graph_index = np.repeat(np.arange(len(own)), own)
        atoms = numbers[ends[first] : ends[first + len(own)]]
        references.add(compositions(atoms, graph_index, len(own)), energies[first : first + CHUNK])
    return references.solve()


def of_composition(collected: Collected, energies: dict[int, float]) -> np.ndarray:
    """(n_structures,), eV: the sum over atoms of energies of the elements, 0 for others."""
    table = np.zeros(256)
    table[list(energies)] = list(energies.values())
    return np.bincount(collected.structure_of_atom, table[collected.numbers], minlength=len(collected.sizes))


def shifted_errors(collected: Collected, shifts: dict[int, float]) -> np.ndarray:
    """(n_structures,), eV/atom, NaN where unknown: predicted - reference energy after the shift of every element."""
    reference, made = collected.energies.T
    return (made - reference - of_composition(collected, shifts)) / collected.sizes


def of_groups(collected: Collected, shifted: np.ndarray) -> dict[str, Any]:
    """Name -> errors of the structures of each group, by name."""
    names = sorted(set(collected.groups))
    place = {name: number for number, name in enumerate(names)}
    groups = np.array([place[name] for name in collected.groups], dtype=np.int64)
    structures, atoms = (split_by(values, len(names)) for values in (groups, groups[collected.structure_of_atom]))
    return {name: of_structures(collected, shifted, structures[n], atoms[n]) for n, name in enumerate(names)}


def split_by(groups: np.ndarray, count: int) -> list[np.ndarray]:
    """Indices of the members of each of `count` groups; groups: (n,) int64, from 0."""
    return np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups, minlength=count))[:-1])


def of_structures(
    collected: Collected, shifted: np.ndarray, structures: np.ndarray, atoms: np.ndarray
) -> dict[str, Any]:
    """Errors of some structures, (n_chosen,) indices, and of their atoms, (n_chosen_atoms,) indices."""
    reference, made = collected.energies[structures].T
    forces, made_forces = collected.forces[atoms].transpose(1, 0, 2)
    stresses, made_stresses = collected.stresses[structures].transpose(1, 0, 2)
    return {
        "structures": len(structures),
        "atoms": len(atoms),
        **statistics("energy", "_per_atom", (made - reference) / collected.sizes[structures]),
        **statistics("shifted_energy", "_per_atom", shifted[structures]),
        **statistics("forces", "", made_forces - forces),
        "mean_absolute_force": mean(np.abs(forces)),
        **statistics("stress", "", made_stresses - stresses),
        "mean_absolute_stress": mean(np.abs(stresses)),
    }


def of_elements(collected: Collected, shifts: dict[int, float]) -> dict[str, Any]:
    """Symbol -> force errors of its atoms and the shift of its energy."""
    reference, made = collected.forces.transpose(1, 0, 2)
    found = {}
    for number in np.unique(collected.numbers).tolist():
        own = collected.numbers == number
        found[chemical_symbols[number]] = {
            "atoms": int(own.sum()),
            "structures": len(np.unique(collected.structure_of_atom[own])),
            **statistics("forces", "", made[own] - reference[own]),
            "mean_absolute_force": mean(np.abs(reference[own])),
            "energy_shift": shifts.get(number),
        }
    return found


def statistics(name: str, ending: str, values: np.ndarray) -> dict[str, float | None]:
    """Mean absolute, root mean square and largest absolute error, NaN left out."""
    return {
        f"{name}_mae{ending}": mean(np.abs(values)),
        f"{name}_rmse{ending}": None if (square := mean(values**2)) is None else float(np.sqrt(square)),
        f"{name}_max{ending}": None if square is None else float(np.nanmax(np.abs(values))),
    }


def mean(values: np.ndarray) -> float | None:
    """Of the values that are not NaN, None if there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def worst(collected: Collected, count: int) -> list[dict[str, Any]]:
    """The structures with the largest force error of an atom, then those with the largest shifted energy error."""
    shifts = fitted(collected, collected.energies[:, 1] - collected.energies[:, 0])
    shifted = shifted_errors(collected, shifts)
    differences = np.linalg.norm(collected.forces[:, 1] - collected.forces[:, 0], axis=1)
    largest = np.full(len(collected.sizes), -np.inf)
    np.fmax.at(largest, collected.structure_of_atom, differences)
    by_forces = ranked(np.where(np.isfinite(largest), largest, np.nan), count)
    by_energy = ranked(np.abs(shifted), count)
    return [described(collected, index, shifted, differences) for index in dict.fromkeys([*by_forces, *by_energy])]


def ranked(values: np.ndarray, count: int) -> list[int]:
    """Indices of the largest values, NaN left out."""
    known = np.flatnonzero(np.isfinite(values))
    return known[np.argsort(-values[known], kind="stable")][:count].tolist()


def described(collected: Collected, index: int, shifted: np.ndarray, differences: np.ndarray) -> dict[str, Any]:
    """One structure among the worst."""
    own = collected.atoms_of(index)
    reference, made = collected.forces[own].transpose(1, 0, 2)
    known = np.isfinite(differences[own]).any()
    return {
        "name": collected.names[index],
        "group": collected.groups[index],
        "formula": collected.formula(index),
        "atoms": int(collected.sizes[index]),
        "shifted_energy_error_per_atom": finite(shifted[index]),
        "forces_mae": mean(np.abs(made - reference)),
        "largest_force_error": float(np.nanmax(differences[own])) if known else None,
        "largest_force": float(np.linalg.norm(reference, axis=1).max()) if known else None,
    }


def finite(value: float) -> float | None:
    """None for NaN."""
    return float(value) if np.isfinite(value) else None
