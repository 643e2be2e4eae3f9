"""A model scored on a set of scans: read, predict, measure, sum up. What comes out is described in docs/bsct.md."""

import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlip_design.bsct.measure import measure
from mlip_design.bsct.predict import Model, evaluator_of, predict
from mlip_design.bsct.result import SCHEMA, Result, finite
from mlip_design.bsct.scans import ScanSet, read_scans
from mlip_design.bsct.sensitivity import sensitivity
from mlip_design.bsct.summary import summarize, warnings_of
from mlip_design.evaluator import CalculatorEvaluator, digest
from mlip_design.processes import start_server


def score(
    model: Model,
    root: str | Path,
    bonds: Sequence[str] | None = None,
    limit: int | None = None,
    workers: int = 1,
    progress: bool = False,
) -> Result:
    """Score a model on the scans below `root`; arguments as those of `load_scans` and `predict`.

    Systems with wrong files are left out, predictions that are not finite are failures: both are named. Raises
    ValueError or OSError for input with which there is nothing to score.
    """
    evaluator_of(model)
    if workers > 1:
        start_server()
    started = time.perf_counter()
    found = read_scans(root, bonds, limit, progress)
    read = time.perf_counter()
    predicted, n_known = predict(model, found.scans, workers, progress)
    done = time.perf_counter()
    pairs = list(zip(found.scans, predicted, strict=True))
    systems = {scan.name: measure(scan, made) for scan, made in pairs}
    usable = [(scan, made.prediction) for scan, made in pairs if systems[scan.name]["failure"] is None]
    facts = {
        "schema": SCHEMA,
        "model": describe_model(model),
        "data": describe_data(root, found),
        **summarize(systems),
        "sensitivity": sensitivity(usable),
        "systems": systems,
        "frames_from_cache": n_known,
        "versions": versions(),
    }
    facts["warnings"] = warnings_of(facts)
    facts["seconds"] = {"read": read - started, "predict": done - read, "score": time.perf_counter() - done}
    return Result(finite(facts), found.scans, [made.prediction for made in predicted])


def describe_model(model: Model) -> dict[str, Any]:
    """What was scored, and a hash of all that its predictions depend on."""
    is_calculator = isinstance(evaluator_of(model), CalculatorEvaluator)
    return {
        "name": model.name,
        "arguments": list(model.arguments),
        "fingerprint": evaluator_of(model).fingerprint,
        "dtype": None if is_calculator else model.dtype,
        "device": None if is_calculator else model.device,
    }


def describe_data(root: str | Path, found: ScanSet) -> dict[str, Any]:
    """What it was scored on, and a hash of all labels."""
    arrays = [array for scan in found.scans for array in (scan.numbers, scan.positions, *scan.labels)]
    return {
        "root": str(root),
        "fingerprint": digest(*(array.tobytes() for array in arrays)),
        "systems": len(found.scans),
        "frames": sum(len(scan.lengths) for scan in found.scans),
        "left_out": found.left_out,
    }


def versions() -> dict[str, str]:
    """Of Python and the packages that compute."""
    packages = ("mlip-design", "torch", "numpy", "scipy", "ase")
    return {"python": platform.python_version()} | {package: version(package) for package in packages}
