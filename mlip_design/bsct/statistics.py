"""Statistics over systems, every system counting the same, with intervals from resampled systems."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from mlip_design.bsct.measure import KEYS
from mlip_design.bsct.score import STRESS_KEYS

N_RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 0
UNITS = {"smoothness": "1/Å", "energy_mae": "eV", "forces_mae": "eV/Å", "stress_mae": "eV/Å³"}


def statistics(systems: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Key -> mean, median, percentile_95, interval of the mean and the mean of zero forces; None without systems.

    Those of the stress are over the systems that have one, and missing where none has. The interval of one system is
    None, too. systems: of `measure`, usable ones.
    """
    if not systems:
        nothing = dict.fromkeys(("mean", "median", "percentile_95", "interval", "zero"))
        return {key: dict(nothing) for key in KEYS}
    stressed = [system for system in systems if STRESS_KEYS[0] in system]
    return over(systems, KEYS) | (over(stressed, STRESS_KEYS) if stressed else {})


def over(systems: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Statistics of some keys over systems that all have them."""
    table = np.array([[system[key] for key in keys] for system in systems])
    found = {
        "mean": table.mean(axis=0).tolist(),
        "median": np.median(table, axis=0).tolist(),
        "percentile_95": np.percentile(table, 95, axis=0).tolist(),
        "interval": intervals(table).tolist() if len(table) > 1 else [None] * len(keys),
        "zero": [zero_mean(systems, key) for key in keys],
    }
    return {key: {name: values[place] for name, values in found.items()} for place, key in enumerate(keys)}


def zero_mean(systems: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Mean of a key of zero forces; None for energies."""
    zeros = [system.get(f"zero_{key}") for system in systems]
    return None if None in zeros else float(np.mean(zeros))


def intervals(table: np.ndarray) -> np.ndarray:
    """95 % percentile bootstrap of the means of table (n_systems, n_keys), n_systems above 1: (n_keys, 2)."""
    options = {"n_resamples": N_RESAMPLES, "batch": 500, "confidence_level": CONFIDENCE, "method": "percentile"}
    found = bootstrap((table,), np.mean, axis=0, rng=np.random.default_rng(SEED), **options)
    return np.column_stack([found.confidence_interval.low, found.confidence_interval.high])


def unit(key: str) -> str:
    """Unit of a key of a score."""
    return next(unit for ending, unit in UNITS.items() if key.endswith(ending))
