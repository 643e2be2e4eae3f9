"""Finished properties, kept by the content of all that they depend on, so that none is computed twice."""

import json
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mlip_design.bsct.result import finite
from mlip_design.evaluator import digest
from mlip_design.files import cache_folder, replacing
from mlip_design.properties.case import Case

PACKAGES = ("ase", "numpy", "phonopy", "scipy")


def place(name: str, case: Case) -> Path:
    """Where a property of a structure is kept."""
    structure = case.structure
    arrays = (structure.numbers, structure.positions, structure.cell, structure.pbc)
    known = [name, case.model.fingerprint, case.reference.fingerprint, asdict(case.settings), versions()]
    key = digest(repr(known).encode(), code(), *(values.tobytes() for values in arrays))
    return cache_folder() / "properties" / key[:2] / f"{key}.json"


def versions() -> dict[str, str | None]:
    """Of the packages that compute, None for one that is not installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


@cache
def code() -> bytes:
    """The sources that arrange the calculations."""
    here = Path(__file__).parent
    files = [*here.glob("*.py"), *(here.parent / "bsct" / "building").glob("*.py")]
    return b"".join(file.read_bytes() for file in sorted(files))


def load(path: Path) -> dict[str, Any] | None:
    """What `save` wrote; None if there is nothing or it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a property, whoever else does the same. Raises OSError."""
    with replacing(path, shared=True) as file:
        json.dump(finite(content), file, ensure_ascii=False, allow_nan=False)
