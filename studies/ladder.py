"""Ladder: does each of the paper's steps make the potential smoother, by how much, and what comes after the last?

Numbers are means over seeds with 95 % intervals (Student). A step is judged by the FSD of the same scans before and
after it, every scan averaged over the seeds: mean difference with a bootstrap interval over scans.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mlip_design.bsct.paired import paired
from mlip_design.selection.statistics import Estimate
from studies.figures import panels
from studies.records import QUANTITIES, Record, Records, over_seeds, table, zero_forces
from studies.variants import BEYOND, LADDER

COLUMNS = (
    "full_smoothness",
    "compress_smoothness",
    "stretch_smoothness",
    "windowed_smoothness",
    "test/forces_mae",
    "test_new/forces_mae",
    "test/energy_mae_per_atom",
    "test_new/energy_mae_per_atom",
    "force_jump",
    "drift",
    "survival",
    "seconds_per_step",
)
JUDGED = ("full_smoothness", "windowed_smoothness")
PAPER = (97.4, 76.3, 43.2)
"""FSD of three ablations on the paper's way, 1/Å (arXiv:2602.04861)."""
PANELS = ("full_smoothness", "windowed_smoothness", "test/forces_mae", "drift")
ASKED = {
    "FSD": ("full_smoothness", 0.45),
    "force MAE, known molecules": ("test/forces_mae", 1.0),
    "force MAE, new molecules": ("test_new/forces_mae", 1.0),
    "NVE drift": ("drift", 0.001),
}
"""What the last rung should have at most, as a fraction of the first: the paper's ratio, no worse, 1000 times less."""


def analyse(records: Records) -> dict[str, Any]:
    """Facts, ready for JSON."""
    rungs = [name for name in LADDER if name in records]
    beyond = [name for name in BEYOND if name in records]
    names, first, last = [*rungs, *beyond], rungs[0], rungs[-1]
    known = [key for key in COLUMNS if not np.isnan([one[key] for name in names for one in records[name]]).all()]
    steps = [*pairwise(rungs), *((last, name) for name in beyond)] if JUDGED[0] in known else []
    return {
        "zero_forces": zero_forces(records),
        "rows": {name: {key: vars(over_seeds(records[name], key)) for key in known} for name in names},
        "seeds": {name: {key: [one[key] for one in records[name]] for key in known} for name in names},
        "steps": [
            {"before": before, "after": after, **effects(records, before, after)} for before, after in steps
        ],
        "ratios": {
            what: {"ratio": ratio(records[last], records[first], key), "at_most": most}
            for what, (key, most) in ASKED.items()
            if key in known
        },
        "last": last,
        "first": first,
        "jump_of_last": max(record["force_jump"] for record in records[last]),
    }


def effects(records: Records, before: str, after: str) -> dict[str, Any]:
    """What a step does to the scores of the scans."""
    return {key: step(records[before], records[after], key) for key in JUDGED}


def step(before: Sequence[Record], after: Sequence[Record], key: str) -> dict[str, Any]:
    """What a step does to a score of the scans."""
    values = np.array(
        [np.mean([record.systems[key] for record in records], axis=0) for records in (before, after)]
    )
    difference = paired(values).differences[0]
    return {**vars(difference), "verdict": difference.verdict}


def ratio(records: Sequence[Record], others: Sequence[Record], key: str) -> float:
    """Of the means over seeds."""
    return over_seeds(records, key).mean / over_seeds(others, key).mean


def draw(facts: dict[str, Any], path: Path) -> None:
    """Every seed as a point, the means as bars."""
    shown = [key for key in PANELS if key in facts["rows"][facts["first"]]]
    figure, drawn = panels(len(shown))
    for axes, key in zip(drawn, shown, strict=True):
        for place, (_, seeds) in enumerate(facts["seeds"].items()):
            values = QUANTITIES[key].factor * np.array(seeds[key])
            axes.plot(np.full(len(values), place), values, "o", color="C0", alpha=0.6)
            axes.hlines(values.mean(), place - 0.3, place + 0.3, color="C0")
        if key in facts["zero_forces"]:
            axes.axhline(
                QUANTITIES[key].factor * facts["zero_forces"][key], color="0.6", ls="--", label="zero forces"
            )
            axes.legend()
        axes.set_xticks(range(len(facts["seeds"])), list(facts["seeds"]), rotation=40, ha="right")
        axes.set_ylabel(QUANTITIES[key].heading)
        if key == "drift":
            axes.set_yscale("log")
    figure.savefig(path, dpi=130)


def text(facts: dict[str, Any]) -> str:
    """Table and sentences."""
    columns = list(facts["rows"][facts["first"]])
    zero = [QUANTITIES[key].text(facts["zero_forces"].get(key)) for key in columns]
    rows = [
        [f"`{name}`", *(QUANTITIES[key].interval(Estimate(**row[key])) for key in columns)]
        for name, row in facts["rows"].items()
    ]
    said = [sentence(one) for one in facts["steps"]]
    asked = [
        f"- {what}: {one['ratio']:.3g} of `{facts['first']}`, asked: at most {one['at_most']:g}: "
        f"**{'yes' if one['ratio'] <= one['at_most'] else 'no'}**"
        for what, one in facts["ratios"].items()
    ]
    asked.append(
        f"- largest force jump of `{facts['last']}` over all seeds: {facts['jump_of_last']:.2g} eV/Å, asked: none: "
        f"**{'yes' if facts['jump_of_last'] == 0 else 'no'}**"
    )
    headings = ["model", *(QUANTITIES[key].heading for key in columns)]
    body = [table(headings, [["zero forces", *zero], *rows]), "\n".join(said), *beside_the_paper(facts)]
    return "\n\n".join([*body, f"`{facts['last']}` against `{facts['first']}`:", "\n".join(asked)])


def beside_the_paper(facts: dict[str, Any]) -> list[str]:
    """Whether every step of the ladder is smoother than the one before it, as in the paper; nothing without scans."""
    rungs = [name for name in facts["rows"] if name in LADDER]
    steps = [one for one in facts["steps"] if one["after"] in rungs]
    if not steps:
        return []
    scores = " → ".join(f"`{name}` {facts['rows'][name][JUDGED[0]]['mean']:.1f}" for name in rungs)
    against = [f"`{one['after']}`" for one in steps if one[JUDGED[0]]["verdict"] != "lower"]
    verdict = (
        f"not clearly lower than the one before: {', '.join(against)}" if against else "so does every step here"
    )
    return [
        f"In the paper three ablations score {', '.join(map(str, PAPER))} 1/Å in FSD, each lower than the one before. "
        f"Here: {scores} 1/Å; {verdict}."
    ]


def sentence(step: dict[str, Any]) -> str:
    """What a step did, in words."""
    words = {"lower": "smoother", "higher": "rougher", "unclear": "no clear difference"}
    parts = [
        f"{QUANTITIES[key].heading.removesuffix(', 1/Å')} {step[key]['mean']:+.1f} "
        f"({step[key]['low']:+.1f} to {step[key]['high']:+.1f}) 1/Å, {words[step[key]['verdict']]}"
        for key in JUDGED
    ]
    return f"- `{step['before']}` → `{step['after']}`: {'; '.join(parts)}."
