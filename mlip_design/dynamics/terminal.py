"""What `mlip-design md` prints."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

SHOWN = 40
"""Trajectories shown at most: those that failed first, then the largest drifts; all are in result.json."""


def print_dynamics(facts: Mapping[str, Any], folder: Path) -> None:
    """Print trajectories and their sum. facts: content of `result.json`."""
    console = Console(highlight=False)
    console.print(heading(facts), markup=False, soft_wrap=True)
    console.print(trajectory_table(facts["trajectories"]))
    for one in [one for one in facts["trajectories"] if not one["survived"]][:SHOWN]:
        name = f"{one['structure']} {one['formula']}, seed {one['seed']}"
        console.print(f"failed: {name}: {reason(one)}", markup=False, soft_wrap=True)
    for line in conclusion(facts["summary"], facts["protocol"]):
        console.print(line, markup=False, soft_wrap=True)
    files = "result.json, dynamics.png, trajectories/*.xyz"
    console.print(f"\nresult  {folder}: {files}", markup=False, soft_wrap=True)


def print_time_steps(facts: Mapping[str, Any], folder: Path) -> None:
    """Print the test of time steps and its verdict."""
    console, test = Console(highlight=False), facts["time_step_test"]
    console.print(heading(facts), markup=False, soft_wrap=True)
    table = new_table("time step, fs", "deviation of total energy,\nmeV/atom (median)", "survived", words=0)
    medians = test["median_deviations"] or [None] * len(test["time_steps"])
    for step, median in zip(test["time_steps"], medians, strict=True):
        table.add_row(f"{step:g}", number(median), f"{facts['by_time_step'][f'{step:g}']['survival']:.0%}")
    console.print(table)
    for line in verdict(test):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"\nresult  {folder}: result.json, time_steps.png", markup=False, soft_wrap=True)


def heading(facts: Mapping[str, Any]) -> str:
    """What was simulated."""
    protocol = facts["protocol"]
    heat = f"{protocol['temperature']:g} K"
    if protocol["final_temperature"] is not None:
        heat += f" to {protocol['final_temperature']:g} K"
    length = f"{protocol['steps'] * protocol['time_step'] / 1000:g} ps in steps of {protocol['time_step']:g} fs"
    counts = f"{facts['structures']['count']} structures x {len(facts['seeds'])} seeds"
    return f"{facts['model']['name']}: {counts}, {protocol['ensemble']} at {heat}, {length}\n"


def trajectory_table(measured: list[dict[str, Any]]) -> Table:
    """A row a trajectory."""
    ordered = sorted(measured, key=lambda one: (one["survived"], -abs(one["drift"] or 0.0)))
    headings = ("", "structure", "seed", "drift,\nmeV/atom/ps", "fluctuation,\nmeV/atom", "mean\nT, K")
    table = new_table(*headings, "highest\nT, K", "failed\nat, ps", words=2)
    for one in ordered[:SHOWN]:
        table.add_row(
            str(one["structure"]),
            one["formula"],
            str(one["seed"]),
            number(one["drift"], signed=True),
            number(one["fluctuation"]),
            number(one["mean_temperature"], "4.0f"),
            number(one["highest_temperature"], "4.0f"),
            number(one["time_to_failure"], ".3f"),
        )
    if len(ordered) > SHOWN:
        table.add_row("", f"and {len(ordered) - SHOWN} more")
    return table


def new_table(*headings: str, words: int) -> Table:
    """A table whose first columns hold words, the others numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for place, name in enumerate(headings):
        table.add_column(
            name, justify="left" if place < words or name == "why" else "right", no_wrap=name != "why"
        )
    return table


def number(value: float | None, form: str = ".2g", signed: bool = False) -> str:
    """A number, - for none."""
    return "-" if value is None else format(value, ("+" if signed else "") + form)


def reason(one: Mapping[str, Any]) -> str:
    """Why a trajectory failed, and when."""
    said = []
    if (departure := one["departure"]) is not None:
        lengths = f"{departure['relaxed']:.2f} to {departure['length']:.2f} Å"
        bond = f"{departure['bond']} {'-'.join(map(str, departure['atoms']))}"
        said.append(f"bond {bond} from {lengths} at {departure['time']:.3f} ps")
    if one["ended"] is not None:
        said.append(f"{one['ended']} at {one['time']:.3f} ps")
    return "; ".join(said)


def conclusion(summary: Mapping[str, Any], protocol: Mapping[str, Any]) -> list[str]:
    """Survival and conservation of energy."""
    count = summary["trajectories"]
    lines = [
        f"\nsurvived: {summary['survival']:.0%} of {count} "
        f"({summary['ended']} ended early, {summary['departures']} with a bond off by {protocol['bond_departure']:g} Å)"
    ]
    if summary["drift"] is not None:
        drift = f"median {summary['drift']:.2g}, largest {summary['largest_drift']:.2g} meV/atom/ps"
        lines.append(f"size of the drift: {drift}")
        wave = f"median {summary['fluctuation']:.2g}, largest {summary['largest_fluctuation']:.2g} meV/atom"
        lines.append(f"fluctuation (RMS) beside it: {wave}")
    if summary["temperature_spike"] is not None:
        lines.append(f"largest spike of the temperature above its mean: {summary['temperature_spike']:.0f} K")
    if summary["not_relaxed"]:
        lines.append(f"{summary['not_relaxed']} of {count} started from a structure that had not come to rest")
    return lines


def verdict(test: Mapping[str, Any]) -> list[str]:
    """Smooth in dynamics or not, and why."""
    word = {True: "yes", False: "no", None: "not known"}[test["smooth"]]
    lines = [f"\nsmooth in dynamics: {word}"]
    if test["slope"] is not None:
        interval = test["slope_interval"]
        between = f" ({interval[0]:.2f} to {interval[1]:.2f}, 95 %)" if interval else ""
        lines.append(f"slope {test['slope']:.2f}{between}; 2 for a smooth potential, 0 for one that jumps")
        lines.append(f"{test['flat']} of {test['usable']} trajectories are flat (slope of at most 1.5)")
    if test["smooth"]:
        lines.append(
            f"not seen: what changes the energy by less than {test['median_deviations'][-1]:.1g} meV/atom"
        )
    if test["complete"] < test["trajectories"]:
        lost = test["trajectories"] - test["complete"]
        lines.append(f"{lost} of {test['trajectories']} trajectories ended early at some step, and are left out")
    if test["ended_at_smallest"]:
        lines.append(f"{test['ended_at_smallest']} of them at the smallest step, where no integrator is to blame")
    return lines
