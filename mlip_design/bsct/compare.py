"""Results of several models side by side, on the systems of which all have a usable prediction."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from mlip_design.bsct.paired import Paired, paired
from mlip_design.bsct.result import load_facts
from mlip_design.bsct.score import STRESS_KEYS

USUAL_KEYS = (
    *(f"{region}_smoothness" for region in ("full", "compress", "stretch", "windowed")),
    "full_forces_mae",
    "aligned_energy_mae",
)
FEW = 20
"""Systems below which a comparison says that they are few."""
SCAN_FACTS = ("bond", "atoms", "frames", "equilibrium")
"""With `zero_*` and `reference_*`, what in the entry of a system depends on its scan alone."""

Facts = Mapping[str, Any]
"""What a `result.json` holds, or a part of it."""


@dataclass(frozen=True, eq=False)
class KeyComparison:
    """The models by one key of the score."""

    unit: str
    zero: float | None
    """Mean of zero forces over the systems compared, None for energies."""
    values: np.ndarray
    """(n_models, n_systems), in the unit of the key."""
    paired: Paired


@dataclass(frozen=True, eq=False)
class Comparison:
    """Models by their results; the first is what differences are taken from."""

    models: list[str]
    results: list[str]
    """Where each was read from."""
    systems: list[str]
    """Those compared."""
    not_compared: dict[str, str]
    """System -> which models have no usable prediction of it."""
    keys: dict[str, KeyComparison]

    @property
    def notes(self) -> list[str]:
        """What must be known before the numbers are believed."""
        few = f"few systems ({len(self.systems)}): the intervals are too narrow"
        return [few] if len(self.systems) < FEW else []

    def as_dict(self) -> dict[str, Any]:
        """Everything but the values of single systems, for JSON."""
        models = [{"name": name, "result": place} for name, place in zip(self.models, self.results, strict=True)]
        keys = {}
        for key, found in self.keys.items():
            keys[key] = {"unit": found.unit, "zero": found.zero, **asdict(found.paired)}
            for written, one in zip(keys[key]["differences"], found.paired.differences, strict=True):
                written["verdict"] = one.verdict
        rest = {"systems": self.systems, "not_compared": self.not_compared, "notes": self.notes}
        return {"schema": 1, "models": models, **rest, "keys": keys}


def compare(results: Sequence[str | Path], keys: Sequence[str] | None = None) -> Comparison:
    """Compare results of `mlip-design bsct`, given as folders or `result.json` files, by some keys of the score.

    keys: `USUAL_KEYS` if None, with those of the stress where all systems have one. Raises ValueError or
    FileNotFoundError for results or keys that are none, and for results on different scans.
    """
    if len(results) < 2:
        raise ValueError(f"expected at least two results to compare, not {len(results)}")
    places, facts = [str(result) for result in results], [load_facts(result) for result in results]
    for place, one in zip(places, facts, strict=True):
        if all(system.get("failure") for system in one["systems"].values()):
            raise ValueError(f"{place}: no system has a usable prediction")
    keys = usual_keys(facts) if keys is None else keys
    for key in keys:
        check_key(key, list(facts[0]["keys"]))
    for place, one in zip(places, facts, strict=True):
        check_complete(place, one["systems"], keys)
    for place, other in zip(places[1:], facts[1:], strict=True):
        check_same_scans(places[0], facts[0]["systems"], place, other["systems"])
    not_compared = without_prediction(facts)
    names = [name for name in facts[0]["systems"] if name not in not_compared]
    if not names:
        counts = ", ".join(f"{one['count']} in {place}" for place, one in zip(places, facts, strict=True))
        raise ValueError(f"no system has a usable prediction in all results; there are {counts}")
    systems = [[one["systems"][name] for name in names] for one in facts]
    units = {key: facts[0]["keys"][key]["unit"] for key in keys}
    compared = {key: compare_key(systems, key, unit) for key, unit in units.items()}
    return Comparison(names_of(places, facts), places, names, not_compared, compared)


def usual_keys(facts: Sequence[Facts]) -> tuple[str, ...]:
    """What is compared if nothing is said."""
    stressed = all("stress_mae" in system for one in facts for system in one["systems"].values())
    return (*(STRESS_KEYS if stressed else ()), *USUAL_KEYS)


def compare_key(systems: Sequence[Sequence[Facts]], key: str, unit: str) -> KeyComparison:
    """The models by one key. systems: of every model, its entries of "systems", in the same order."""
    values = np.array([[system[key] for system in some] for some in systems])
    zeros = [system.get(f"zero_{key}") for system in systems[0]]
    return KeyComparison(unit, None if None in zeros else float(np.mean(zeros)), values, paired(values))


def check_key(key: str, known: Sequence[str]) -> None:
    """Raise ValueError for a key that the score does not have."""
    if key not in known:
        close = get_close_matches(key, known, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"--keys: the score has no {key!r}{hint}; it has {', '.join(known)}")


def check_complete(place: str, systems: Facts, keys: Sequence[str]) -> None:
    """Raise ValueError if an entry of "systems" lacks a key, as those of another version may."""
    for name, system in systems.items():
        for key in ("failure", *SCAN_FACTS, *keys):
            if key not in system:
                volumes = "only scans of the volume have it: score these alone, with --bonds"
                again = volumes if key in STRESS_KEYS else "score the model again with this version"
                raise ValueError(f"{place}: {name} has no {key!r}; {again}")


def check_same_scans(first: str, expected: Facts, place: str, found: Facts) -> None:
    """Raise ValueError if a system of two results was not the same scan in both. expected, found: their systems."""
    shared = [name for name in found if name in expected]
    different = {name: said for name in shared if (said := scan_difference(expected[name], found[name]))}
    if different:
        name, said = next(iter(different.items()))
        more = f" ({len(different)} of {len(shared)} systems differ)"
        raise ValueError(f"{place}: scored on other scans than {first}: {name} has {said}{more}")


def scan_difference(expected: Facts, found: Facts) -> str:
    """How the scans of two entries of "systems" differ; nothing if they do not."""
    for key, value in expected.items():
        if key in SCAN_FACTS or key.startswith(("zero_", "reference_")):
            other = found.get(key)
            numbers = isinstance(value, float) and isinstance(other, float)
            if not (math.isclose(value, other, rel_tol=1e-9, abs_tol=1e-9) if numbers else value == other):
                return f"{key} {other!r} instead of {value!r}"
    return ""


def without_prediction(facts: Sequence[Facts]) -> dict[str, str]:
    """System -> which models, counted from 1, have no usable prediction of it; those that all have are left out."""
    found = {}
    for name in dict.fromkeys(name for one in facts for name in one["systems"]):
        lacking = []
        for number, one in enumerate(facts, start=1):
            if name not in one["systems"]:
                lacking.append(f"not scored with model {number}")
            elif one["systems"][name]["failure"] is not None:
                lacking.append(f"no usable prediction of model {number}")
        if lacking:
            found[name] = ", ".join(lacking)
    return found


def names_of(places: Sequence[str], facts: Sequence[Facts]) -> list[str]:
    """Models by their names and arguments, and by their results where that is not enough."""
    names = [" ".join([one["model"]["name"], *one["model"]["arguments"]]) for one in facts]
    pairs = list(zip(names, places, strict=True))
    return [f"{name} ({place})" if names.count(name) > 1 else name for name, place in pairs]
