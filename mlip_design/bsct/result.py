"""The record of a scoring: `result.json` and `predictions.npz` of its folder; docs/bsct.md says what they hold."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlip_design.bsct.packing import joined_tensors, pack, split, split_tensors, split_vectors, unpack
from mlip_design.bsct.scan import Prediction, Scan
from mlip_design.bsct.storage import load_arrays, save_arrays
from mlip_design.files import replacing

SCHEMA = 1
FACTS, PREDICTIONS = "result.json", "predictions.npz"


@dataclass(frozen=True, eq=False)
class Result:
    """A model scored on scans."""

    facts: dict[str, Any]
    """What `result.json` holds."""
    scans: list[Scan]
    predictions: list[Prediction]
    """Of every scan; NaN for none."""

    def save(self, folder: Path) -> None:
        """Write both files, `result.json` last. Raises OSError."""
        made = {}
        if self.scans:
            made["model_energies"] = np.concatenate([energies for energies, *_ in self.predictions])
            made["model_forces"] = np.concatenate([forces.ravel() for _, forces, *_ in self.predictions])
            made["model_stresses"] = joined_tensors([s for _, _, *stresses in self.predictions for s in stresses])
        save_arrays(folder / PREDICTIONS, pack(self.scans) | made)
        save_facts(folder / FACTS, self.facts)


def save_facts(path: Path, facts: dict[str, Any]) -> None:
    """Write `result.json`. Raises OSError."""
    with replacing(path) as file:
        json.dump(facts, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def load_facts(path: str | Path) -> dict[str, Any]:
    """What a `result.json` holds; path: the file or its folder. Raises ValueError or FileNotFoundError, naming it."""
    path = Path(path) / FACTS if Path(path).is_dir() else Path(path)
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: no such result; mlip-design bsct MODEL --data DIR --out writes one"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path}: not a result of mlip-design bsct ({error})") from error
    if not (isinstance(facts, dict) and {"schema", "model", "keys", "systems"} <= facts.keys()):
        raise ValueError(f"{path}: not a result of mlip-design bsct (it has no schema, model, keys and systems)")
    if facts["schema"] != SCHEMA:
        raise ValueError(f"{path}: schema is {facts['schema']!r}, this version reads {SCHEMA}")
    tables = [facts[name] for name in ("model", "keys", "systems")]
    if not (all_dicts(tables) and all_dicts(facts["keys"].values()) and all_dicts(facts["systems"].values())):
        raise ValueError(
            f"{path}: not a result of mlip-design bsct (model, keys or systems are not as it has them)"
        )
    return facts


def all_dicts(values: Iterable[Any]) -> bool:
    """Whether all are dictionaries."""
    return all(isinstance(value, dict) for value in values)


def load_result(folder: str | Path) -> Result:
    """The result in a folder that `mlip-design bsct --out` wrote. Raises ValueError or FileNotFoundError."""
    folder = Path(folder)
    facts, path = load_facts(folder), folder / PREDICTIONS
    arrays = load_arrays(path)
    if arrays is None:
        raise ValueError(f"{path}: missing or damaged; score the model again with --out {folder}")
    try:
        scans = unpack({key: values for key, values in arrays.items() if not key.startswith("model_")})
        predictions = []
        if scans:
            energies = split(arrays["model_energies"], arrays["n_frames"])
            forces = split_vectors(arrays["model_forces"], arrays["n_frames"], arrays["n_atoms"])
            stresses = split_tensors(arrays["model_stresses"], arrays["n_frames"], arrays["has_stresses"])
            predictions = [
                (e, f) if s is None else (e, f, s) for e, f, s in zip(energies, forces, stresses, strict=True)
            ]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path}: not the predictions of a result ({error!r})") from error
    if [scan.name for scan in scans] != list(facts["systems"]):
        raise ValueError(f"{path}: holds other systems than {FACTS} beside it; score the model again")
    return Result(facts, scans, predictions)


def finite(value: Any) -> Any:
    """The same with None for every number that is NaN or infinite, for JSON."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
