"""Ladder: does each of the paper's steps make the potential smoother, by how much, and what comes after the last?

Numbers are means over seeds with 95 % intervals (Student), those of the drift geometric means. A step is judged by the
FSD of the same scans before and after it: mean difference, with an interval that knows both what other scans and what
other seeds would do. A force jump with >=, or none found: the probe had spent its evaluations before it was done.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from mlip_design.selection.statistics import Estimate
from studies.figures import panels
from studies.records import LEAST, QUANTITIES, Record, Records, over_seeds, table, zero_forces
from studies.settings import Setting
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
    "force MAE (known)": ("test/forces_mae", 1.0),
    "force MAE (new)": ("test_new/forces_mae", 1.0),
    "NVE drift": ("drift", 0.001),
}
"""What the last rung should have at most, as a fraction of the first: the paper's ratio, no worse, 1000 times less."""


def analyse(records: Records, setting: Setting) -> dict[str, Any]:
    """Facts, ready for JSON."""
    rungs = [name for name in LADDER if name in records]
    beyond = [name for name in BEYOND if name in records]
    names, first, last = [*rungs, *beyond], rungs[0], rungs[-1]
    known = [key for key in COLUMNS if not np.isnan([one[key] for name in names for one in records[name]]).all()]
    steps = [*pairwise(rungs), *((last, name) for name in beyond)] if JUDGED[0] in known else []
    return {
        "about": setting.about,
        "tested": setting.tested,
        "n_scans": len(records[first][0].systems[JUDGED[0]]),
        "zero_forces": zero_forces(records),
        "rows": {name: {key: vars(over_seeds(records[name], key)) for key in known} for name in names},
        "seeds": {name: {key: [one[key] for one in records[name]] for key in known} for name in names},
        "steps": [
            {"before": before, "after": after, **effects(records, before, after)} for before, after in steps
        ],
        "ratios": {
            what: {**ratio(records[last], records[first], key), "at_most": most}
            for what, (key, most) in ASKED.items()
            if key in known
        },
        "last": last,
        "first": first,
        "jump_of_last": max(record["force_jump"] for record in records[last]),
        "unfinished": {name: max(one["unfinished"] for one in records[name]) for name in names},
    }


def effects(records: Records, before: str, after: str) -> dict[str, Any]:
    """What a step does to the scores of the scans."""
    return {key: step(records[before], records[after], key) for key in JUDGED}


def step(before: Sequence[Record], after: Sequence[Record], key: str) -> dict[str, Any]:
    """What a step does to a score of the scans; the interval is None where a model has one seed.

    The variance is that of the mean difference over scans, with seeds averaged, and those of the means over scans from
    seed to seed; their degrees of freedom after Welch and Satterthwaite.
    """
    scores = [np.array([record.systems[key] for record in records]) for records in (before, after)]
    differences = scores[1].mean(axis=0) - scores[0].mean(axis=0)
    found = {"mean": float(differences.mean()), "low": None, "high": None, "verdict": "unclear"}
    if min(map(len, scores)) < 2:
        return found
    samples = [differences, *(one.mean(axis=1) for one in scores)]
    variances = np.array([np.var(sample, ddof=1) / len(sample) for sample in samples])
    if variances.any():
        freedom = variances.sum() ** 2 / (variances**2 / [len(sample) - 1 for sample in samples]).sum()
        half = stats.t.ppf(0.975, freedom) * np.sqrt(variances.sum())
    else:
        half = 0.0
    found |= {"low": float(found["mean"] - half), "high": float(found["mean"] + half)}
    return found | {"verdict": "lower" if found["high"] < 0 else "higher" if found["low"] > 0 else "unclear"}


def ratio(records: Sequence[Record], others: Sequence[Record], key: str) -> dict[str, float | None]:
    """Of the geometric means over seeds, with a 95 % interval (Welch, of the logarithms)."""
    logs = [np.log(np.maximum([one[key] for one in several], LEAST)) for several in (records, others)]
    found = {"ratio": float(np.exp(logs[0].mean() - logs[1].mean())), "low": None, "high": None}
    if min(map(len, logs)) > 1 and any(map(np.ptp, logs)):
        interval = stats.ttest_ind(*logs, equal_var=False).confidence_interval(0.95)
        found |= {"low": float(np.exp(interval.low)), "high": float(np.exp(interval.high))}
    return found


def draw(facts: dict[str, Any], path: Path) -> None:
    """Every seed as a point, the means as bars."""
    shown = [key for key in PANELS if key in facts["rows"][facts["first"]]]
    figure, drawn = panels(len(shown))
    for axes, key in zip(drawn, shown, strict=True):
        for place, (name, seeds) in enumerate(facts["seeds"].items()):
            values = QUANTITIES[key].factor * np.array(seeds[key])
            axes.plot(np.full(len(values), place), values, "o", color="C0", alpha=0.6)
            axes.hlines(
                QUANTITIES[key].factor * facts["rows"][name][key]["mean"], place - 0.3, place + 0.3, color="C0"
            )
        if key in facts["zero_forces"]:
            axes.axhline(
                QUANTITIES[key].factor * facts["zero_forces"][key], color="0.6", ls="--", label="zero forces"
            )
            axes.legend()
        axes.set_xticks(range(len(facts["seeds"])), list(facts["seeds"]), rotation=40, ha="right")
        axes.set_ylabel(heading(key, facts))
        if key == "drift":
            axes.set_yscale("log")
    figure.savefig(path, dpi=130)


def text(facts: dict[str, Any]) -> str:
    """Table and sentences."""
    columns = list(facts["rows"][facts["first"]])
    zero = [QUANTITIES[key].text(facts["zero_forces"].get(key)) for key in columns]
    rows = [
        [f"`{name}`", *(cell(facts, name, key) for key in columns), str(row[columns[0]]["n"])]
        for name, row in facts["rows"].items()
    ]
    said = [sentence(one) for one in facts["steps"]]
    asked = [asked_text(what, one, facts) for what, one in facts["ratios"].items()]
    missing = facts["unfinished"][facts["last"]]
    asked.append(
        f"- largest force jump of `{facts['last']}` over all seeds: {facts['jump_of_last']:.2g} eV/Å, asked: none: "
        f"**{'yes' if facts['jump_of_last'] == 0 and not missing else 'no' if facts['jump_of_last'] else 'not known'}**"
    )
    scored = f" FSD: means over {facts['n_scans']} scans." if facts["n_scans"] else ""
    headings = ["model", *(heading(key, facts) for key in columns), "seeds"]
    body = [facts["about"] + scored, table(headings, [["zero forces", *zero, ""], *rows])]
    body += ["\n".join(said), *beside_the_paper(facts)] if said else []
    return "\n\n".join([*body, f"`{facts['last']}` against `{facts['first']}`:", "\n".join(asked)])


def heading(key: str, facts: dict[str, Any]) -> str:
    """Of a column; the split `test` is named by what it holds."""
    return QUANTITIES[key].heading.replace("known", facts["tested"])


def cell(facts: dict[str, Any], name: str, key: str) -> str:
    """A number of a model."""
    found = Estimate(**facts["rows"][name][key])
    if key != "force_jump" or not facts["unfinished"][name]:
        return QUANTITIES[key].interval(found)
    return f">= {QUANTITIES[key].interval(found)}" if found.mean else "none found"


def asked_text(what: str, found: dict[str, Any], facts: dict[str, Any]) -> str:
    """Whether a ratio is what was asked, and whether its interval is as well."""
    is_met, interval, doubt = found["ratio"] <= found["at_most"], "", ""
    if found["low"] is not None:
        interval = f" ({found['low']:.3g} to {found['high']:.3g})"
        is_sure = found["high"] <= found["at_most"] if is_met else found["low"] > found["at_most"]
        doubt = "" if is_sure else ", but not beyond the doubt of so few seeds"
    return (
        f"- {what.replace('known', facts['tested'])}: {found['ratio']:.3g}{interval} of `{facts['first']}`, "
        f"asked: at most {found['at_most']:g}: **{'yes' if is_met else 'no'}**{doubt}"
    )


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
    parts = []
    for key in JUDGED:
        one = step[key]
        interval = "" if one["low"] is None else f"({one['low']:+.1f} to {one['high']:+.1f}) "
        name = QUANTITIES[key].heading.removesuffix(", 1/Å")
        parts.append(f"{name} {one['mean']:+.1f} {interval}1/Å, {words[one['verdict']]}")
    return f"- `{step['before']}` → `{step['after']}`: {'; '.join(parts)}."
