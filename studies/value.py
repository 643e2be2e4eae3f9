"""Value: a model picked by force MAE alone, by FSD alone, or by the rules of selection: how stable is it?

Picks are made on validation data only, among all variants (means over seeds). The first seed of each pick then
simulates molecules, at 500 K for longer, and crystals that no training set held; crystals are a far cry from small
molecules, and whatever moves them extrapolates.
"""

import json
from pathlib import Path
from typing import Any

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
from mlip_design.structures import Structure, from_atoms
from studies.figures import panels
from studies.measuring import simulated
from studies.records import QUANTITIES, Records, table
from studies.settings import new_molecules

RECORD = "value.json"
MOLECULES, CRYSTALS = Protocol(temperature=500.0, steps=4000), Protocol(steps=1000)
"""NVE in steps of 0.5 fs: 500 K for 2 ps, 300 K for 0.5 ps."""
KINDS = ("molecules", "crystals")
TOLD = ("survival", "drift", "largest_drift", "fluctuation")


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
    """Rule -> variant, why, and the folder of its first seed; `baseline`, which nobody picked, beside them."""
    names = {record.run.folder: name for name, several in records.items() for record in several}
    selection = compare([record.run for several in records.values() for record in several])
    found = {}
    for what, key in (("force MAE alone", X), ("FSD alone", Y)):
        lowest = min(selection.variants, key=lambda variant: variant.mean(key))
        found[what] = (lowest, f"lowest {quantity(key).name}, {quantity(key).text(lowest.mean(key))}")
    for rule in SINGLE_RULES:
        pick = selection.picks[rule]
        if pick.variants:
            found[f"rule `{rule}`"] = (selection[pick.variants[0]], pick.reason)
    folders = {rule: (variant.runs[0].folder, reason) for rule, (variant, reason) in found.items()}
    folders["no choice"] = (records["baseline"][0].run.folder, "the first rung of the ladder")
    return {
        rule: {"variant": names[folder], "reason": reason, "folder": str(folder)}
        for rule, (folder, reason) in folders.items()
    }


def simulate_all(records: Records, workers: int) -> None:
    """Simulate all picks that have not been."""
    folders = {Path(pick["folder"]) for pick in picks(records).values()}
    waiting = [(folder,) for folder in sorted(folders) if not (folder / RECORD).exists()]
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
    rows = {}
    for rule, pick in picks(records).items():
        simulated_there = json.loads((Path(pick["folder"]) / RECORD).read_text(encoding="utf-8"))
        rows[rule] = {"variant": pick["variant"], "reason": pick["reason"], **simulated_there}
    return {"picks": rows}


def draw(facts: dict[str, Any], path: Path) -> None:
    """Survival and drift of every pick."""
    figure, drawn = panels(4)
    places = [(kind, key) for kind in KINDS for key in ("survival", "drift")]
    labels = [f"{rule}\n({row['variant']})" for rule, row in facts["picks"].items()]
    for axes, (kind, key) in zip(drawn, places, strict=True):
        values = [row[kind][key] for row in facts["picks"].values()]
        factor = QUANTITIES[key].factor
        axes.plot([0 if value is None else factor * value for value in values], labels, "o")
        axes.grid(axis="y", alpha=0.3)
        axes.set_xlabel(f"{kind}: {QUANTITIES[key].heading}")
        if key == "drift":
            axes.set_xscale("log")
    figure.savefig(path, dpi=110)


def text(facts: dict[str, Any]) -> str:
    """Table and reasons."""
    headings = ["picked by", "variant"]
    headings += [f"{kind}: {QUANTITIES[key].heading}" for kind in KINDS for key in TOLD]
    rows = [
        [
            rule,
            f"`{row['variant']}`",
            *(QUANTITIES[key].text(row[kind][key]) for kind in KINDS for key in TOLD),
        ]
        for rule, row in facts["picks"].items()
    ]
    reasons = [f"- {rule}: `{row['variant']}`, {row['reason']}." for rule, row in facts["picks"].items()]
    return "\n\n".join(["\n".join(reasons), table(headings, rows), *(sentence(facts, kind) for kind in KINDS)])


def sentence(facts: dict[str, Any], kind: str) -> str:
    """Which picks conserve energy best."""
    drifts = {rule: row[kind]["drift"] for rule, row in facts["picks"].items()}
    ordered = sorted(drifts, key=drifts.__getitem__)
    said = ", ".join(f"{rule} {QUANTITIES['drift'].text(drifts[rule])}" for rule in ordered)
    return f"NVE drift on {kind}, lowest first (meV/atom/ps): {said}."
