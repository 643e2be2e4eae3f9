"""What the result of a scoring says about several systems together, from what `measure` says of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlip_design.bsct.measure import DEPTH
from mlip_design.bsct.score import STRESS_KEYS, leading
from mlip_design.bsct.statistics import statistics, unit

N_WORST = 10
NEAR = (0.05, 0.1)
"""Å."""
NO_FORCE = 1e-6
"""eV/Å; reference forces whose mean is below vanish by symmetry, but for rounding."""


def summarize(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Everything in the result that is about several systems, from what `measure` says of each by name."""
    good = {name: system for name, system in systems.items() if system["failure"] is None}
    keys = statistics(list(good.values()))
    for key, found in keys.items():
        found |= {"published_mean": found["mean"] if len(good) == len(systems) else None, "unit": unit(key)}
    groups = {}
    for system in good.values():
        groups.setdefault(system["bond"], []).append(system)
    return {
        "failed": {name: system["failure"] for name, system in systems.items() if system["failure"] is not None},
        "count": len(good),
        "keys": keys,
        "bonds": {bond: {"count": len(some), "keys": statistics(some)} for bond, some in sorted(groups.items())},
        "worst": sorted(good, key=lambda name: -leading(good[name]))[:N_WORST],
        "near_equilibrium": [near_equilibrium(list(good.values()), within) for within in NEAR],
        "minima": summarize_minima(list(good.values())),
        "conservation": summarize_closure(list(good.values())),
        "without_force": sum(system["zero_full_forces_mae"] < NO_FORCE for system in good.values()),
    }


def near_equilibrium(systems: Sequence[Mapping[str, Any]], within: float) -> dict[str, float | None]:
    """Share of systems whose steepest interval has its middle within some Å of equilibrium."""
    row = {"within": within}
    for name, key in (("share", "steepest"), ("zero_share", "zero_steepest")):
        near = [abs(system[key] - system["equilibrium"]) <= within for system in systems]
        row[name] = float(np.mean(near)) if near else None
    return row


def summarize_minima(systems: Sequence[Mapping[str, Any]]) -> dict[str, float | int | None]:
    """Artificial minima of all systems together; depths in eV."""
    depths = [system["minima"]["artificial"] for system in systems]
    together = [depth for some in depths for depth in some]
    return {
        "threshold": DEPTH,
        "artificial": len(together),
        "systems": sum(bool(some) for some in depths),
        "deepest": max(together, default=None),
    }


def summarize_closure(systems: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Mean and largest non-conservativity of model and reference, eV."""
    found = {}
    for name, key in (("model", "closure"), ("reference", "reference_closure")):
        values = [system[key] for system in systems]
        found |= {
            f"{name}_mean": float(np.mean(values)) if values else None,
            f"{name}_max": max(values, default=None),
        }
    return found


def warnings_of(facts: Mapping[str, Any]) -> list[str]:
    """What a reader of the numbers must know before believing them."""
    warnings = []
    if facts["data"]["left_out"]:
        warnings.append(f"systems left out for their files: {len(facts['data']['left_out'])}")
    if facts["failed"]:
        total = facts["count"] + len(facts["failed"])
        said = f"{len(facts['failed'])} of {total} systems have no usable prediction"
        warnings.append(f"{said}: means are over the others, and there is no published mean")
    if facts["without_force"]:
        said = f"{facts['without_force']} of {facts['count']} systems feel no force, by symmetry"
        warnings.append(f"{said}: their FSD of forces is 0 whatever the model; look at stress_smoothness")
    for key, found in facts["keys"].items():
        mean, zero = found["mean"], found["zero"]
        baseline = "stress" if key in STRESS_KEYS else "forces"
        is_moot = baseline == "forces" and facts["without_force"] == facts["count"]
        if mean is not None and zero is not None and mean >= zero and mean > 0 and not is_moot:
            values = f"{mean:.3g} against {zero:.3g} {found['unit']}"
            warnings.append(f"no better than zero {baseline}: {key} is {values}")
    return warnings
