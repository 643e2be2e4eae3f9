"""Labels that look wrong, each with how often and where, the worst first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from mlip_design.data.survey.duplicates import Duplicates, differing_energies
from mlip_design.data.survey.table import SurveyTable

HUGE_FORCE = 50.0
"""eV/Å; bonds compressed to half the sum of their radii reach twice that, little else comes near."""
NET_FORCE = 0.05
"""eV/Å an atom; forces of an isolated system and of a crystal add up to nothing."""
FAR = 10.0
"""Robust standard deviations from the median."""
EXAMPLES = 10

HARTREES = {1: -0.5, 6: -37.8, 7: -54.6, 8: -75.1, 9: -99.7, 14: -289.3, 15: -341.3, 16: -398.1, 17: -460.2}
"""Total energies of free atoms with all electrons, hartree; in eV they are 27 times as large."""


@dataclass(frozen=True)
class Suspicion:
    """what: in words. examples: (name of a structure, its value or words), the worst first."""

    what: str
    count: int
    examples: Sequence[tuple[str, str]] = ()


def find_suspicions(table: SurveyTable, duplicates: Duplicates) -> list[Suspicion]:
    """Everything that looks wrong in a set."""
    values, largest = table.values, table.values["largest_force"]
    net = values["net_force"] / table.sizes
    unbalanced = f"forces that do not add up to zero, above {NET_FORCE:g} eV/Å an atom"
    found = [
        flagged(table, "all forces are zero", (largest == 0) & (table.sizes > 1), largest, "eV/Å"),
        flagged(table, f"a force above {HUGE_FORCE:g} eV/Å", largest > HUGE_FORCE, largest, "eV/Å"),
        flagged(table, unbalanced, net > NET_FORCE, net, "eV/Å"),
        differing(table, differing_energies(duplicates, table)),
        Suspicion(units_verdict(table.reference_energies), len(table.sizes)),
        Suspicion(table.work.verdict, len(table.work.works)),
    ]
    return [suspicion for suspicion in found if suspicion.what and suspicion.count]


def differing(table: SurveyTable, pairs: np.ndarray) -> Suspicion:
    """Equal structures, (n_pairs, 2), of different energy."""
    energy, examples = table.values["energy"], []
    for first, again in pairs[:EXAMPLES]:
        words = f"{energy[again] - energy[first]:+.4f} eV to {table.names[first]}"
        examples.append((table.names[again], words))
    return Suspicion("equal structures of different energy", len(pairs), examples)


def flagged(table: SurveyTable, what: str, mask: np.ndarray, values: np.ndarray, unit: str) -> Suspicion:
    """The structures of a mask (n_structures,), those of the largest values (n_structures,) as examples."""
    indices = np.flatnonzero(mask)
    worst = indices[np.argsort(-values[indices], kind="stable")][:EXAMPLES]
    return Suspicion(what, len(indices), [(table.names[i], f"{values[i]:.3f} {unit}") for i in worst])


def units_verdict(reference_energies: dict[int, float]) -> str:
    """What is wrong with reference energies that are those of free atoms in hartree, or nothing."""
    known = [(energy, HARTREES[number]) for number, energy in reference_energies.items() if number in HARTREES]
    heavy = [abs(energy / hartree - 1) < 0.1 for energy, hartree in known if hartree < -1]
    if not heavy or not all(heavy):
        return ""
    names = ", ".join(f"{chemical_symbols[n]} {e:.1f}" for n, e in reference_energies.items() if n in HARTREES)
    return f"energies look like hartree (an atom of {names})"


def outliers(table: SurveyTable, values: np.ndarray, unit: str) -> Suspicion:
    """Structures whose values (n_structures,) are `FAR` from the median, in robust standard deviations."""
    away = np.abs(values - np.median(values))
    spread = 1.4826 * np.median(away)
    indices = np.flatnonzero(away > FAR * spread) if spread else np.zeros(0, dtype=int)
    worst = indices[np.argsort(-away[indices], kind="stable")][:EXAMPLES]
    return Suspicion("outliers", len(indices), [(table.names[i], f"{values[i]:+.3f} {unit}") for i in worst])
