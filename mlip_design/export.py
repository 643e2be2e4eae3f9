"""A trained potential as a folder for others: `mlip-design export`."""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from mlip_design.checkpoint import built
from mlip_design.potential import Potential
from mlip_design.stored_model import DESCRIPTION, CheckpointError, model_files, read_model, write_shared
from mlip_design.sweep.record import recorded

PACKAGES = ("mlip-design", "torch", "e3nn")


def export(source: Path, destination: Path, allow: Sequence[str] = ()) -> dict[str, Any]:
    """Write `model.yaml` and `model.safetensors` into a new folder; returns what stands in the first.

    source: a checkpoint or a run folder, whose best checkpoint is taken and whose record tells data and metrics. allow:
    as of `load_potential`. Raises ValueError or FileNotFoundError; there is no folder then.
    """
    if model_files(source)[0].name == DESCRIPTION:
        raise CheckpointError(f"{source}: is an exported model; copy the folder")
    model = read_model(source)
    potential = built(model, "cpu", None, allow)
    described = {
        **facts_of(potential),
        **(trained(source) if source.is_dir() else {}),
        "versions": {name: version(name) for name in PACKAGES},
        "model": json.loads(json.dumps(model.config)),
    }
    write_shared(destination, potential.state_dict(), described)
    return described


def facts_of(potential: Potential) -> dict[str, Any]:
    """What a potential says of itself; cutoff in Å, reference energies in eV."""
    return {
        "elements": [chemical_symbols[number] for number in potential.elements],
        "cutoff": float(potential.cutoff),
        "precision": str(potential.dtype).removeprefix("torch."),
        "parameters": sum(parameter.numel() for parameter in potential.parameters()),
        "has_stress": potential.has_stress,
        "reference_energies": {
            chemical_symbols[number]: potential.reference_energies[number].item() for number in potential.elements
        },
    }


def trained(folder: Path) -> dict[str, Any]:
    """What a run folder records of training, and the metrics of its best epoch; nothing without a record."""
    run = recorded(folder)
    if run is None:
        return {}
    training = {
        "seed": run.seed,
        "overrides": [portable(override) for override in run.overrides],
        "epochs": run.best.get("epoch"),
        "data": run.data,
    }
    tested = {name: value for name, value in run.metrics.items() if name.startswith("test")}
    return {"training": training, "metrics": {**measured(run.best), **measured(tested)}}


def portable(override: str) -> str:
    """An override as it is told to others: key=/folder/of/mine/set becomes key=set."""
    key, _, value = override.partition("=")
    return f"{key}={Path(value).name}" if Path(value).is_absolute() else override


def measured(values: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of validation and test splits among some values."""
    return {k: v for k, v in values.items() if k.startswith(("val", "test")) and isinstance(v, int | float)}
