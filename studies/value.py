"""Value: a model picked by force MAE alone, by FSD alone, or by the rules of selection: how stable is it?

Picks are made on validation data only, among all variants (means over seeds). Every seed of each pick then simulates
molecules, at 500 K for longer, and crystals that no training set held; crystals are a far cry from small molecules, and
whatever moves them extrapolates. Numbers are means over seeds with 95 % intervals (Student), those of the drift
geometric means; the largest drift is that of all trajectories of all seeds. Zero forces would conserve energy exactly
and keep no molecule together, so survival stands beside the drift.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk
from ase.spacegroup import crystal

from mlip_design.bsct.result import finite
from mlip_design.dynamics.protocol import Protocol
from mlip_design.evaluator import PotentialEvaluator
from mlip_design.files import replacing
from mlip_design.processes import Processes
from mlip_design.selection import compare
from mlip_design.selection.comparison import X, Y
from mlip_design.selection.finalists import SINGLE_RULES
from mlip_design.selection.quantities import quantity
from mlip_design.selection.statistics import Estimate
from mlip_design.structures import Structure, from_atoms
from studies.figures import panels
from studies.measuring import simulated
from studies.records import QUANTITIES, Records, of_values, table
from studies.settings import new_molecules

RECORD = "value.json"
MOLECULES, CRYSTALS = Protocol(temperature=500.0, steps=4000), Protocol(steps=1000)
"""NVE in steps of 0.5 fs: 500 K for 2 ps, 300 K for 0.5 ps."""
KINDS = ("molecules", "crystals")
TOLD = ("survival", "drift", "fluctuation")


def crystals() -> dict[str, Structure]:
    """Diamond, 64 atoms; dry ice and solid nitrogen (Pa-3), 24 and 16 atoms."""
    cubic = {"spacegroup": 205, "cellpar": [5.624] * 3 + [90.0] * 3}
    dry_ice = crystal("CO", [(0, 0, 0), (0.1190, 0.1190, 0.1190)], **cubic)
    nitrogen = crystal("N", [(0.0563, 0.0563, 0.0563)], **cubic)
    found = {
        "diamond": bulk("C", "diamond", a=3.567, cubic=True) * (2, 2, 2),
        "dry ice": dry_ice * (2, 1, 1),
        "solid nitrogen": nitrogen * (2, 1, 1),
    }
    return {name: from_atoms(atoms) for name, atoms in found.items()}


def picks(records: Records) -> dict[str, dict[str, Any]]:
    """Rule -> variant, None where there is none, and why; beside them the default and `baseline`."""
    names = {record.run.folder: name for name, several in records.items() for record in several}
    selection = compare([record.run for several in records.values() for record in several])
    found = {}
    for what, key in (("force MAE alone", X), ("FSD alone", Y)):
        lowest = min(selection.variants, key=lambda variant: variant.mean(key))
        found[what] = (lowest, f"lowest {quantity(key).name}, {quantity(key).text(lowest.mean(key))}")
    for rule in SINGLE_RULES:
        pick = selection.picks[rule]
        found[f"rule `{rule}`"] = (selection[pick.variants[0]] if pick.variants else None, pick.reason)
    picked = {
        rule: {"variant": variant and names[variant.runs[0].folder], "reason": reason}
        for rule, (variant, reason) in found.items()
    }
    unpicked = {"default": ("smooth_attn", "what is trained unless told otherwise")}
    unpicked["no remedy"] = ("baseline", "the first rung of the ladder")
    return picked | {what: {"variant": variant, "reason": reason} for what, (variant, reason) in unpicked.items()}


def simulate_all(records: Records, workers: int) -> None:
    """Simulate every seed of all picks that have not been."""
    variants = sorted({pick["variant"] for pick in picks(records).values() if pick["variant"]})
    folders = [record.run.folder for name in variants for record in records[name]]
    waiting = [(folder,) for folder in folders if not (folder / RECORD).exists()]
    with Processes(min(workers, max(len(waiting), 1))) as processes:
        for _ in processes.spread(simulate_one, waiting):
            pass


def simulate_one(folder: Path) -> None:
    """Leave value.json in the folder of a run. A crystal with an element that training had not cannot occur."""
    evaluator = PotentialEvaluator(folder)
    found = {
        "molecules": simulated(evaluator, new_molecules(), MOLECULES),
        "crystals": simulated(evaluator, list(crystals().values()), CRYSTALS),
    }
    with replacing(folder / RECORD) as file:
        json.dump(finite(found), file)


def analyse(records: Records) -> dict[str, Any]:
    """Facts, ready for JSON."""
    found = picks(records)
    for pick in found.values():
        if pick["variant"]:
            pick |= of_seeds([record.run.folder for record in records[pick["variant"]]])
    return {"picks": found}


def of_seeds(folders: Sequence[Path]) -> dict[str, Any]:
    """Kind of system -> name of a number -> what the seeds of a variant have, and the largest drift of all."""
    found = [json.loads((folder / RECORD).read_text(encoding="utf-8")) for folder in folders]
    return {
        kind: {name: vars(of_values([one[kind][name] for one in found], name)) for name in TOLD}
        | {"largest_drift": max(one[kind]["largest_drift"] for one in found)}
        for kind in KINDS
    }


def draw(facts: dict[str, Any], path: Path) -> None:
    """Survival and drift of every variant that is picked."""
    by_variant = {row["variant"]: row for row in with_model(facts).values()}
    figure, drawn = panels(4)
    places = [(kind, key) for kind in KINDS for key in ("survival", "drift")]
    for axes, (kind, key) in zip(drawn, places, strict=True):
        factor, most = QUANTITIES[key].factor, 1.0 if key == "survival" else np.inf
        for variant, row in by_variant.items():
            found = row[kind][key]
            axes.plot(factor * found["mean"], variant, "o", color="C0")
            if found["low"] is not None:
                ends = factor * np.clip([found["low"], found["high"]], 0, most)
                axes.hlines(variant, *ends, color="C0")
        axes.grid(axis="y", alpha=0.3)
        axes.set_xlabel(f"{kind}: {QUANTITIES[key].heading}")
        if key == "drift":
            axes.set_xscale("log")
    figure.savefig(path, dpi=110)


def with_model(facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The picks of rules that found one."""
    return {rule: row for rule, row in facts["picks"].items() if row["variant"]}


def text(facts: dict[str, Any]) -> str:
    """Table and reasons."""
    shown = [(kind, key) for kind in KINDS for key in (*TOLD, "largest_drift")]
    headings = ["picked by", "variant", "seeds", *(f"{kind}: {QUANTITIES[key].heading}" for kind, key in shown)]
    rows = [
        [
            rule,
            f"`{row['variant']}`",
            str(row[KINDS[0]][TOLD[0]]["n"]),
            *(cell(row[kind], key) for kind, key in shown),
        ]
        for rule, row in with_model(facts).items()
    ]
    reasons = [
        f"- {rule}: {'`' + row['variant'] + '`, ' if row['variant'] else 'no pick: '}{row['reason']}."
        for rule, row in facts["picks"].items()
    ]
    return "\n\n".join(["\n".join(reasons), table(headings, rows), *(sentence(facts, kind) for kind in KINDS)])


def cell(found: dict[str, Any], key: str) -> str:
    """A number of a pick."""
    return (
        QUANTITIES[key].text(found[key]) if key not in TOLD else QUANTITIES[key].interval(Estimate(**found[key]))
    )


def sentence(facts: dict[str, Any], kind: str) -> str:
    """Which picks conserve energy best."""
    drifts = {rule: row[kind]["drift"]["mean"] for rule, row in with_model(facts).items()}
    ordered = sorted(drifts, key=drifts.__getitem__)
    said = ", ".join(f"{rule} {QUANTITIES['drift'].text(drifts[rule])}" for rule in ordered)
    return f"NVE drift on {kind}, lowest first (meV/atom/ps): {said}."
