"""Tables of the page of an evaluation, and the numbers at its head. Energies in meV/atom, forces in meV/Å."""

from collections.abc import Iterator, Mapping
from typing import Any

from mlip_design.report.table import Column, Table

Facts = Mapping[str, Any]
"""What `evaluation.json` holds, or a part of it."""

ERRORS = {
    "energy_mae_per_atom": Column("energy MAE", "meV/atom", 2),
    "energy_rmse_per_atom": Column("energy RMSE", "meV/atom", 2),
    "shifted_energy_mae_per_atom": Column("shifted MAE", "meV/atom", 2),
    "shifted_energy_rmse_per_atom": Column("shifted RMSE", "meV/atom", 2),
    "forces_mae": Column("force MAE", "meV/Å", 1),
    "forces_rmse": Column("force RMSE", "meV/Å", 1),
    "forces_max": Column("largest force error", "meV/Å", 0),
    "mean_absolute_force": Column("zero forces: MAE", "meV/Å", 1),
    "stress_mae": Column("stress MAE", "meV/Å³", 2),
    "stress_rmse": Column("stress RMSE", "meV/Å³", 2),
    "mean_absolute_stress": Column("zero stress: MAE", "meV/Å³", 2),
}
"""Key -> column; numbers of the result times 1000."""


def tiles(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """The numbers at the head of the page: name, value with unit, and what to compare it with."""
    found = facts["errors"]
    shifted = "shifted_energy_mae_per_atom", "shifted_energy_rmse_per_atom"
    for name, unit, key, beside, label in (
        ("energy MAE", "meV/atom", "energy_mae_per_atom", "energy_rmse_per_atom", "RMSE"),
        ("after a shift of every element", "meV/atom", *shifted, "RMSE"),
        ("force MAE", "meV/Å", "forces_mae", "mean_absolute_force", "zero forces"),
        ("stress MAE", "meV/Å³", "stress_mae", "mean_absolute_stress", "zero stress"),
    ):
        if found[key] is not None:
            yield name, f"{1000 * found[key]:.1f} {unit}", f"{label} {1000 * found[beside]:.1f}"
    without = f"{len(facts['failed']):,} without a prediction, {len(facts['left_out']):,} left out"
    yield "structures", f"{facts['predicted']:,}", without


def shown(facts: Facts) -> list[str]:
    """Those of `ERRORS` that there are."""
    return [key for key in ERRORS if facts["errors"][key] is not None]


def groups(facts: Facts) -> Table:
    """Errors of all structures and of every group."""
    keys, rows = shown(facts), [("all", facts["errors"])]
    if has_groups(facts):
        rows += [(name or "none", found) for name, found in facts["groups"].items()]
    columns = [Column(facts["group_by"]), Column("structures", digits=0), Column("atoms", digits=0)]
    cells = [
        [name, found["structures"], found["atoms"], *(scaled(found[key]) for key in keys)] for name, found in rows
    ]
    return Table([*columns, *(ERRORS[key] for key in keys)], cells, can_filter=len(rows) > 20)


def has_groups(facts: Facts) -> bool:
    """Whether any structure belongs to a group."""
    return any(facts["groups"])


def elements(facts: Facts) -> Table:
    """Force errors and energy shift of every element."""
    keys = [key for key in shown(facts) if "force" in key]
    columns = [Column("element"), Column("atoms", digits=0), Column("structures", digits=0)]
    columns += [*(ERRORS[key] for key in keys), Column("energy shift", "meV/atom", 1)]
    rows = [
        [symbol, found["atoms"], found["structures"], *(scaled(found[key]) for key in (*keys, "energy_shift"))]
        for symbol, found in facts["elements"].items()
    ]
    return Table(columns, rows)


def worst(facts: Facts) -> Table:
    """The structures with the largest errors."""
    columns = [Column("structure"), Column(facts["group_by"]), Column("formula"), Column("atoms", digits=0)]
    columns += [Column("largest force error", "meV/Å", 0), Column("largest force", "meV/Å", 0)]
    columns += [Column("force MAE", "meV/Å", 1), Column("shifted energy error", "meV/atom", 1)]
    keys = ("largest_force_error", "largest_force", "forces_mae", "shifted_energy_error_per_atom")
    rows = [
        [one["name"], one["group"], one["formula"], one["atoms"], *(scaled(one[key]) for key in keys)]
        for one in facts["worst"]
    ]
    return Table(columns, rows, can_filter=True)


def reasons(found: Mapping[str, str], heading: str) -> Table:
    """Why something is missing, by name."""
    return Table([Column("structure"), Column(heading)], [list(item) for item in found.items()], can_filter=True)


def scaled(value: float | None) -> float | None:
    """In thousandths."""
    return None if value is None else 1000 * value
