"""What two objectives do not show: a model that is smooth because it does nothing, and one that jumps.

A variant with a warning stays in every table but is passed over by the rules while another is left.
"""

from mlip_design.selection.quantities import quantity
from mlip_design.selection.variants import Variant

LARGEST_ERROR = 0.5
"""Force MAE above which a model is trivial, as a fraction of the mean absolute force, the MAE of zero forces."""

LARGEST_JUMPS = {"force_jump": 0.01, "energy_jump": 0.001}
"""Name of a measure of `probe/` -> what a continuous model stays below: eV/Å and eV."""


def warnings(variant: Variant) -> tuple[str, ...]:
    """What speaks against a variant on validation data, one sentence each."""
    return (*inaccurate(variant), *not_smooth(variant), *jumps(variant))


def inaccurate(variant: Variant) -> list[str]:
    """Force errors so large that smoothness says nothing."""
    error = variant.mean("val/forces_mae")
    zero = variant.runs[0].data.get("val", {}).get("mean_absolute_force", float("nan"))
    if not error > LARGEST_ERROR * zero:
        return []
    written = quantity("val/forces_mae").text
    share = f"{100 * error / zero:.0f} % of that of zero forces ({written(zero)})"
    return [f"trivial: force MAE {written(error)} is {share}, more than {100 * LARGEST_ERROR:.0f} %"]


def not_smooth(variant: Variant) -> list[str]:
    """No smoother than a model without forces."""
    smoothness = variant.mean("val/bsct/full_smoothness")
    zero = variant.mean("val/bsct/zero_full_smoothness")
    if not smoothness >= zero:
        return []
    return [f"rough: FSD {smoothness:.1f} 1/Å is not better than that of zero forces, {zero:.1f} 1/Å"]


def jumps(variant: Variant) -> list[str]:
    """A discontinuity that the probe found in any of its runs."""
    found = []
    for name, largest in LARGEST_JUMPS.items():
        measured = max((run.value(f"val/probe/{name}") for run in variant.runs), key=lambda v: (v == v, v))
        if measured > largest:
            written = quantity(f"val/probe/{name}")
            found.append(f"jumps: {written.name} {written.text(measured)}, above {written.text(largest)}")
    return found


def is_probed(variant: Variant) -> bool:
    """Whether a probe looked for jumps in all its runs."""
    return any(f"val/probe/{name}" in variant.metrics for name in LARGEST_JUMPS)
