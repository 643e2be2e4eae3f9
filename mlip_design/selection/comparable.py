"""Whether runs may be compared: the same budget, the same data, the same scans."""

import math

from mlip_design.selection.runs import Run

SCANS = "val/bsct/zero_full_smoothness"
"""The score of zero forces: it depends on the scans alone, and so tells whether they were the same."""


def conditions(run: Run) -> dict[str, str]:
    """Everything that must be equal in runs that are compared, in words."""
    found = {name: str(value) for name, value in run.budget.items()}
    for name, facts in run.data.items():
        found |= {f"{name} {fact.replace('_', ' ')}": f"{value:.6g}" for fact, value in facts.items()}
    zero = run.value(SCANS)
    return found | ({} if math.isnan(zero) else {"scans (FSD of zero forces)": f"{zero:.4g}"})


def differences(runs: list[Run]) -> list[str]:
    """What is not equal in runs, one sentence each: every value, how many runs have it, and the first of them."""
    found = [conditions(run) for run in runs]
    keys = dict.fromkeys(key for one in found for key in one)
    sentences = []
    for key in keys:
        having: dict[str, list[Run]] = {}
        for run, one in zip(runs, found, strict=True):
            having.setdefault(one.get(key, "none"), []).append(run)
        if len(having) > 1:
            named = (f"{value} in {plural(len(some), 'run')} ({some[0].folder})" for value, some in having.items())
            sentences.append(f"{key}: {', '.join(named)}")
    return sentences


def plural(count: int, noun: str) -> str:
    """'1 run', '2 runs'."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def check_comparable(runs: list[Run], n_shown: int = 3) -> None:
    """Raise ValueError with the first differences, if there are any."""
    found = differences(runs)
    if found:
        rest = f"; and {len(found) - n_shown} more" if len(found) > n_shown else ""
        raise ValueError(
            f"runs of unequal budget or data are not compared: {'; '.join(found[:n_shown])}{rest}. "
            "--allow-mixed compares them all the same"
        )
