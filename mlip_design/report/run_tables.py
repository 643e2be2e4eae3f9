"""Tables of the page of a run: accuracy, smoothness, scans, cost; and the numbers at its head."""

import math

from mlip_design.report.table import Column, Table
from mlip_design.report.terminal import SMOOTHNESS
from mlip_design.selection.runs import Run

SCAN_KEYS = {
    "full_smoothness": Column("FSD full", "1/Å", 1),
    "compress_smoothness": Column("FSD compressed", "1/Å", 1),
    "stretch_smoothness": Column("FSD stretched", "1/Å", 1),
    "windowed_smoothness": Column("FSD away from equilibrium", "1/Å", 1),
    "zero_full_smoothness": Column("FSD full, zero forces", "1/Å", 1),
    "full_forces_mae": Column("force MAE", "meV/Å", 0),
    "full_energy_mae": Column("energy MAE", "meV", 0),
}


def evaluated(run: Run, stage: str) -> list[str]:
    """The splits of a stage ('val' or 'test') with an error."""
    return [split for split in run.data if split.startswith(stage) and f"{split}/forces_mae" in run.metrics]


def tiles(run: Run) -> list[tuple[str, str, str]]:
    """The numbers at the head of the page: name, value with unit, and what to compare it with."""
    error, full = run.value("val/forces_mae"), run.value("val/bsct/full_smoothness")
    zero_error = run.data.get("val", {}).get("mean_absolute_force", math.nan)
    zero_full = run.value("val/bsct/zero_full_smoothness")
    named = [
        ("force MAE, val", 1000 * error, "{:.1f} meV/Å", f"zero forces {1000 * zero_error:.1f}"),
        ("force smoothness deviation, val", full, "{:.1f} 1/Å", f"zero forces {zero_full:.1f}"),
        ("parameters", run.value("cost/parameters"), "{:,.0f}", ""),
        (
            "wall time",
            run.value("cost/seconds"),
            "{:,.0f} s",
            f"{run.value('cost/bsct_seconds'):,.0f} s of it BSCT",
        ),
        ("a step", 1000 * run.value("cost/seconds_per_step"), "{:.0f} ms", ""),
    ]
    return [(name, form.format(value), beside) for name, value, form, beside in named if math.isfinite(value)]


def accuracy(run: Run) -> Table:
    """Errors of every evaluation split, beside those of zero forces."""
    columns = [
        Column("split"),
        Column("structures", digits=0),
        Column("energy MAE", "meV/atom", 1),
        Column("force MAE", "meV/Å", 1),
        Column("zero forces", "meV/Å", 1),
    ]
    rows = []
    for split in (*evaluated(run, "val"), *evaluated(run, "test")):
        errors = [run.value(f"{split}/energy_mae_per_atom"), run.value(f"{split}/forces_mae")]
        errors.append(run.data[split]["mean_absolute_force"])
        rows.append([split, run.data[split]["structures"], *(1000 * error for error in errors)])
    return Table(columns, rows)


def smoothness(run: Run, history: list[dict[str, float]]) -> Table:
    """Force smoothness deviation, mean over the scans, by region and by bond type."""
    if not any("/bsct/" in name for name in run.metrics):
        return Table([], [])
    first = next((row for row in history if "val/bsct/full_smoothness" in row), {})
    names = [(label, key, f"zero_{key}") for key, label in SMOOTHNESS.items()]
    names += [
        ("full, median", "full_smoothness_median", ""),
        ("full, 95th percentile", "full_smoothness_percentile_95", ""),
    ]
    bonds = [name.removeprefix("val/bsct/") for name in run.metrics if name.startswith("val/bsct/bond/")]
    names += [(f"full, {key.removeprefix('bond/')} bonds", key, "") for key in bonds]
    moments = ("val, first epoch", "val, last epoch", "val, zero forces", "test, best epoch", "test, zero forces")
    rows = []
    for label, key, zero in names:
        val, test = [[run.value(f"{stage}/bsct/{name}") for name in (key, zero)] for stage in ("val", "test")]
        rows.append([label, first.get(f"val/bsct/{key}"), *val, *test])
    return Table([Column("region"), *(Column(moment, "1/Å", 1) for moment in moments)], rows)


def scans(scores: list[dict[str, float | str]]) -> Table:
    """Every scan of an evaluation, worst first. scores: one row a scan (`scans_val.csv`)."""
    factors = {key: 1000 if column.unit.startswith("meV") else 1 for key, column in SCAN_KEYS.items()}
    rows = [
        [row["scan"], *(factor * row[key] if key in row else None for key, factor in factors.items())]
        for row in scores
    ]
    rows.sort(key=lambda row: -row[1] if row[1] is not None and math.isfinite(row[1]) else -math.inf)
    return Table([Column("scan"), *SCAN_KEYS.values()], rows, can_filter=True)


def cost(run: Run) -> Table:
    """Cost, budget and the versions of packages."""
    rows = [
        [name.replace("_", " "), f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"]
        for name, value in run.cost.items()
        if value is not None
    ]
    rows += [[f"{name} allowed", str(value)] for name, value in run.budget.items()]
    rows += [[name, version] for name, version in run.versions.items()]
    return Table([Column("what"), Column("value")], rows)
