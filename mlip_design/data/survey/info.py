"""`mlip-design data info`: everything about a source or a store as plain data."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from mlip_design.data.formats.contract import Labels
from mlip_design.data.prepare import each_file
from mlip_design.data.reading import find_files
from mlip_design.data.store_writer import kind
from mlip_design.data.survey.duplicates import Duplicates, find_duplicates
from mlip_design.data.survey.suspicions import EXAMPLES, find_suspicions, outliers
from mlip_design.data.survey.table import SurveyTable, tabulate
from mlip_design.structures import StructureError

PERCENTILES = {"min": 0, "p1": 1, "median": 50, "p99": 99, "max": 100}


def info(sources: Sequence[Path], labels: Labels, progress: bool) -> dict:
    """Contents, statistics, outliers, duplicates and suspicious labels of sources or stores, ready for JSON.

    Raises as `prepare` does.
    """
    files, others = find_files(sources)
    table = tabulate(chain.from_iterable(each_file(files, 0, labels, progress)))
    if not len(table.sizes):
        first = ": ".join(table.left_out[0])
        raise StructureError(f"none of {len(table.left_out)} structures can be used; {first}")
    residuals = energy_residuals(table)
    duplicates = find_duplicates(table)
    return {
        "sources": [str(path) for path in files],
        "not_read": [str(path) for path in others],
        "structures": len(table.sizes),
        "atoms": int(table.sizes.sum()),
        "groups": table.groups,
        "periodic": int(table.values["is_periodic"].sum()),
        "with_stress": int(table.values["has_stress"].sum()),
        "left_out": dict(Counter(kind(reason) for _, reason in table.left_out).most_common()),
        "left_out_structures": [list(named) for named in table.left_out],
        "elements": elements(table),
        "atoms_a_structure": distribution(table.sizes),
        "energy_an_atom": distribution(residuals),
        "largest_force": distribution(table.values["largest_force"]),
        "forces": forces(table),
        "work_ratio": table.work.ratio,
        "outliers": {
            "energy_an_atom": asdict(outliers(table, residuals, "eV/atom")),
            "largest_force": asdict(outliers(table, table.values["largest_force"], "eV/Å")),
        },
        "duplicates": repeated(duplicates, table),
        "suspicious": [asdict(suspicion) for suspicion in find_suspicions(table, duplicates)],
    }


def energy_residuals(table: SurveyTable) -> np.ndarray:
    """(n_structures,) eV/atom, energies without the reference energies of the atoms."""
    references = np.zeros(table.counts.shape[1])
    for number, energy in table.reference_energies.items():
        references[number] = energy
    return (table.values["energy"] - (table.counts @ references)[table.composition]) / table.sizes


def elements(table: SurveyTable) -> dict[str, dict]:
    """Symbol -> atoms, structures that hold it, reference energy (eV an atom)."""
    often = np.bincount(table.composition)
    return {
        chemical_symbols[number]: {
            "atoms": int(often @ table.counts[:, number]),
            "structures": int(often @ (table.counts[:, number] > 0)),
            "reference_energy": energy,
        }
        for number, energy in table.reference_energies.items()
    }


def distribution(values: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation and `PERCENTILES` of values (n_structures,)."""
    quantiles = zip(PERCENTILES, np.percentile(values, list(PERCENTILES.values())).tolist(), strict=True)
    return {"mean": float(values.mean()), "std": float(values.std()), **dict(quantiles)}


def forces(table: SurveyTable) -> dict[str, float]:
    """Root mean square and mean absolute value of the components, eV/Å."""
    components = 3 * float(table.sizes.sum())
    return {
        "rms": float(np.sqrt(table.values["force_squares"].sum() / components)),
        "mean_absolute": float(table.values["force_sum"].sum() / components),
    }


def repeated(duplicates: Duplicates, table: SurveyTable) -> dict[str, dict]:
    """Kind of duplicate -> how many structures repeat another one, and examples."""
    return {
        name: {"count": len(pairs), "examples": [[table.names[i] for i in pair] for pair in pairs[:EXAMPLES]]}
        for name, pairs in vars(duplicates).items()
    }
