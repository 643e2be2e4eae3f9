"""Tables of the page of a BSCT result, and the numbers at its head."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from mlip_design.bsct.score import leading
from mlip_design.report.table import Column, Table, anchor

Facts = Mapping[str, Any]
"""What `result.json` holds, or a part of it."""

REGIONS = {
    "full": "full",
    "compress": "compressed",
    "stretch": "stretched",
    "windowed": "away from equilibrium",
    "stress": "of the stress",
}
"""What stands before smoothness in a key -> what it is called."""
STATISTICS = ("mean", "95 %: low", "high", "median", "95th percentile", "zero forces")
SYSTEM_KEYS = {
    **{f"{region}_smoothness": Column(f"FSD {label}", "1/Å", 1) for region, label in REGIONS.items()},
    "zero_full_smoothness": Column("zero forces: FSD", "1/Å", 1),
    "full_forces_mae": Column("force MAE", "eV/Å", 3),
    "zero_full_forces_mae": Column("zero forces: MAE", "eV/Å", 3),
    "full_energy_mae": Column("energy MAE", "eV", 3),
    "aligned_energy_mae": Column("energy MAE without offset", "eV", 3),
    "stress_mae": Column("stress MAE", "meV/Å³", 2),
    "closure": Column("energy against work", "eV", 3),
}


def tiles(facts: Facts) -> list[tuple[str, str, str]]:
    """The numbers at the head of the page: name, value with unit, and what to compare it with."""
    keys, minima = facts["keys"], facts["minima"]
    full, away, forces = (keys[k] for k in ("full_smoothness", "windowed_smoothness", "full_forces_mae"))
    failed, left_out = len(facts["failed"]), len(facts["data"]["left_out"])
    counts = ("systems", f"{facts['count']:,}", f"{failed:,} without a prediction, {left_out:,} left out")
    if not facts["count"]:
        return [counts]
    interval = "95 %: {:.1f} to {:.1f}; ".format(*full["interval"]) if full["interval"] else ""
    stress = []
    if "stress_mae" in keys:
        one, error = keys["stress_smoothness"], 1000 * keys["stress_mae"]["mean"]
        beside = f"zero stress {one['zero']:.1f}; MAE {error:.2f} meV/Å³"
        stress = [("FSD of the stress", f"{one['mean']:.1f} 1/Å", beside)]
    return [
        (
            "force smoothness deviation",
            f"{full['mean']:.1f} 1/Å",
            f"{interval}zero forces {full['zero']:.1f}",
        ),
        ("away from equilibrium", f"{away['mean']:.1f} 1/Å", f"zero forces {away['zero']:.1f}"),
        *stress,
        ("force MAE", f"{forces['mean']:.3f} eV/Å", f"zero forces {forces['zero']:.3f}"),
        ("energy MAE without offset", f"{keys['aligned_energy_mae']['mean']:.3f} eV", ""),
        ("artificial minima", f"{minima['artificial']:,}", f"in {minima['systems']:,} systems"),
        counts,
    ]


def smoothness(keys: Facts) -> Table:
    """Statistics of every region. keys: "keys" of the result."""
    columns = [Column("region"), *(Column(name, "1/Å", 1) for name in STATISTICS)]
    rows = [[label, *statistics(keys[f"{region}_smoothness"])] for region, label in regions(keys).items()]
    return Table(columns, rows)


def regions(keys: Facts) -> dict[str, str]:
    """Those of `REGIONS` that are among some keys."""
    return {region: label for region, label in REGIONS.items() if f"{region}_smoothness" in keys}


def errors(keys: Facts) -> Table:
    """Statistics of the errors of forces and energies. keys: "keys" of the result."""
    columns = [Column("error"), Column("unit"), *(Column(name, digits=3) for name in STATISTICS)]
    rows = [
        [f"{quantity}, {REGIONS[region]}", unit, *statistics(keys[f"{region}_{ending}"])]
        for quantity, ending, unit in (("forces", "forces_mae", "eV/Å"), ("energy", "energy_mae", "eV"))
        for region in ("full", "compress", "stretch")
    ]
    rows.append(["energy, full, without offset", "eV", *statistics(keys["aligned_energy_mae"])])
    if "stress_mae" in keys:
        rows.append(["stress", "meV/Å³", *(value and 1000 * value for value in statistics(keys["stress_mae"]))])
    return Table(columns, rows)


def statistics(found: Facts) -> list[float | None]:
    """The cells of one key."""
    low, high = found["interval"] or (None, None)
    return [found["mean"], low, high, found["median"], found["percentile_95"], found["zero"]]


def bonds(groups: Facts) -> Table:
    """Every bond type on its own; the FSD of volumes is that of the stress. groups: "bonds" of the result."""
    columns = [Column("bond"), Column("systems", digits=0), *(Column(name, "1/Å", 1) for name in STATISTICS)]
    columns += [Column("away from equilibrium", "1/Å", 1), Column("force MAE", "eV/Å", 3)]
    rows = []
    for bond, found in groups.items():
        away, forces = (found["keys"][key]["mean"] for key in ("windowed_smoothness", "full_forces_mae"))
        rows.append([bond, found["count"], *statistics(leading(found["keys"])), away, forces])
    return Table(columns, rows)


def sensitivity(rows: list[Facts]) -> Table:
    """Means of every region, model and zero forces, for every floor and spacing. rows: "sensitivity" of the result."""
    columns = [Column("floor", "eV/Å", 1), Column("frames")]
    shown = regions(rows[0]) if rows else {}
    for label in shown.values():
        columns += [Column(label, "1/Å", 1), Column("zero forces", "1/Å", 1)]
    cells = [
        [row["floor"], "all" if row["every"] == 1 else "every second"]
        + [row[f"{prefix}{region}_smoothness"] for region in shown for prefix in ("", "zero_")]
        for row in rows
    ]
    return Table(columns, cells)


def beyond(facts: Facts) -> Table:
    """Where the FSD sits, artificial minima, and work against energy."""
    columns = [Column("what"), Column("model"), Column("beside it")]
    return Table(columns, list(beyond_rows(facts)) if facts["count"] else [])


def beyond_rows(facts: Facts) -> Iterator[list[str]]:
    """Cells of `beyond`."""
    for row in facts["near_equilibrium"]:
        zero = f"zero forces: {100 * row['zero_share']:.0f} %"
        label = f"systems whose steepest interval lies within {row['within']:g} Å of equilibrium"
        yield [label, f"{100 * row['share']:.0f} %", zero]
    minima, work = facts["minima"], facts["conservation"]
    deepest = "" if minima["deepest"] is None else f", the deepest {minima['deepest']:.3f} eV"
    label = f"minima of the energy beyond those of the reference, deeper than {minima['threshold']:g} eV"
    yield [label, f"{minima['artificial']} in {minima['systems']} systems{deepest}", ""]
    for name, label in (("mean", "mean over systems"), ("max", "largest")):
        model, reference = (f"{work[f'{whose}_{name}']:.3f} eV" for whose in ("model", "reference"))
        yield [f"energy against the work of the forces along the path, {label}", model, f"reference: {reference}"]


def systems(facts: Facts, drawn: Mapping[str, Any]) -> Table:
    """Every system, worst first; the name of one that the page can draw shows it. drawn: by name."""
    keys = [key for key in SYSTEM_KEYS if any(key in system for system in facts["systems"].values())]
    columns = [Column("system"), Column("atoms", digits=0), *(SYSTEM_KEYS[key] for key in keys)]
    columns += [Column("artificial minima", digits=0), Column("steepest at", "Å", 2)]
    columns += [Column("no usable prediction")] if facts["failed"] else []
    rows = []
    for name in by_smoothness(facts):
        system = facts["systems"][name]
        label = anchor(f"#{quote(name)}", name) if name in drawn else name
        known = system["failure"] is None and system["steepest"] is not None
        place = system["steepest"] - system["equilibrium"] if known else None
        factors = {key: 1000 if SYSTEM_KEYS[key].unit.startswith("meV") else 1 for key in keys}
        values = [None if (value := system.get(key)) is None else factors[key] * value for key in keys]
        row = [label, system["atoms"], *values]
        row += [len(system["minima"]["artificial"]), place]
        rows.append(row + ([system["failure"] or ""] if facts["failed"] else []))
    return Table(columns, rows, can_filter=True)


def by_smoothness(facts: Facts) -> list[str]:
    """Names of all systems: those without a usable prediction, then the others by falling FSD."""
    found = facts["systems"]
    return sorted(found, key=lambda name: (found[name]["failure"] is None, -(leading(found[name]) or 0)))


def reasons(found: Mapping[str, str], heading: str) -> Table:
    """Systems and what is wrong with them. found: by name."""
    return Table([Column("system"), Column(heading)], [list(item) for item in found.items()], can_filter=True)


def record(facts: Facts) -> Table:
    """Fingerprints, times and versions."""
    model, data = facts["model"], facts["data"]
    rows = [["fingerprint of the model", model["fingerprint"]], ["fingerprint of the scans", data["fingerprint"]]]
    rows += [[f"seconds to {name}", f"{value:,.1f}"] for name, value in facts["seconds"].items()]
    rows += [["frames from the cache", f"{facts['frames_from_cache']:,} of {data['frames']:,}"]]
    return Table([Column("what"), Column("value")], rows + [list(item) for item in facts["versions"].items()])
