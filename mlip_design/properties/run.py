"""All properties of all structures; what docs/properties.md says of `properties.json` is made here."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from ase.formula import Formula
from ase.symbols import Symbols
from tqdm import tqdm

from mlip_design.bsct.building.recipe import Source
from mlip_design.bsct.result import finite
from mlip_design.evaluator import Evaluator
from mlip_design.properties.case import Case, Settings
from mlip_design.properties.kinds import measure
from mlip_design.properties.measured import LeftOut
from mlip_design.properties.store import load, place, save, versions

SCHEMA = 1
DONE, LEFT_OUT, FAILED = "done", "left out", "failed"


def run(
    model: Evaluator, reference: Evaluator, sources: Sequence[Source], names: Sequence[str], settings: Settings
) -> dict[str, Any]:
    """Compute properties of structures. Killed and started again, it goes on; names: keys of `kinds.KINDS`.

    What fails is recorded with the reason, and tried again the next time.
    """
    entries, found = [], 0
    with tqdm(total=len(sources) * len(names), desc="properties", leave=False, disable=None) as bar:
        for source in sources:
            case = Case(source.structure, model, reference, settings)
            properties = {}
            for name in names:
                bar.set_postfix_str(f"{source.name} {name}")
                properties[name], known = property_of(name, case)
                found += known
                bar.update()
            entries.append({"name": source.name, **description(case), "properties": properties})
    statuses = [one["status"] for entry in entries for one in entry["properties"].values()]
    return finite(
        {
            "schema": SCHEMA,
            "model": {"name": model.name, "fingerprint": model.fingerprint},
            "reference": {"name": reference.name, "fingerprint": reference.fingerprint},
            "settings": asdict(settings),
            "versions": versions(),
            "counts": {status: statuses.count(status) for status in (DONE, LEFT_OUT, FAILED)},
            "from_cache": found,
            "means": means(entries),
            "structures": entries,
        }
    )


def description(case: Case) -> dict[str, Any]:
    """Formula and number of atoms."""
    numbers = case.structure.numbers
    return {"formula": Formula(str(Symbols(numbers))).format("hill"), "atoms": len(numbers)}


def property_of(name: str, case: Case) -> tuple[dict[str, Any], bool]:
    """One entry of the record, and whether it was known before."""
    path = place(name, case)
    if (known := load(path)) is not None:
        return known, True
    start = time.perf_counter()
    try:
        measured = asdict(measure(name, case))
    except LeftOut as reason:
        return {"status": LEFT_OUT, "reason": str(reason)}, False
    except (RuntimeError, ArithmeticError, ValueError) as error:
        return {"status": FAILED, "reason": " ".join(str(error).split()) or type(error).__name__}, False
    entry = {"status": DONE, "reason": None, "seconds": time.perf_counter() - start, **measured}
    save(path, entry)
    return finite(entry), False


def means(entries: Sequence[dict]) -> dict[str, dict[str, dict[str, Any]]]:
    """Mean absolute error of every quantity, over structures and their parts, by property and name."""
    collected: dict[str, dict[str, list]] = {}
    for entry in entries:
        for name, one in entry["properties"].items():
            for quantity in one.get("quantities", ()):
                key = quantity["name"]
                collected.setdefault(name, {}).setdefault(key, []).append(quantity)
    return {name: {key: mean(found) for key, found in of.items()} for name, of in collected.items()}


def mean(quantities: Sequence[dict]) -> dict[str, Any]:
    """unit, mean absolute error and number of values of one quantity."""
    errors = [abs(quantity["error"]) for quantity in quantities if quantity["error"] is not None]
    error = float(np.mean(errors)) if errors else None
    return {"unit": quantities[0]["unit"], "mean_absolute_error": error, "values": len(errors)}
