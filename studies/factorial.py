"""Factorial: which remedy does what? {hard, differentiable kNN} x {tau 1, tau > 1} x {narrow, broad basis}.

An effect is the mean of a number where a factor is at its high level less the mean where it is at its low one; of an
interaction, where the product of the factors' signs is + less where it is -. Every seed gives one value of each effect;
intervals are over seeds (Student); by chance one in twenty leaves out 0. Drift and jumps span orders of magnitude and
enter by their decimal logarithm; no jump counts as a tiny one, so that effect tells whether there are jumps rather than
how high they are.
"""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from mlip_design.selection.statistics import Estimate, estimate
from studies.figures import panels
from studies.records import LEAST, QUANTITIES, Records, over_seeds, table
from studies.variants import CELLS, FACTORS

RESPONSES = (
    "full_smoothness",
    "windowed_smoothness",
    "test/forces_mae",
    "test_new/forces_mae",
    "drift",
    "force_jump",
)
LOGARITHMIC = ("drift", "force_jump")


def analyse(records: Records) -> dict[str, Any]:
    """Facts, ready for JSON."""
    n_seeds = min(len(records[name]) for name in CELLS.values())
    return {
        "cells": {
            name: {key: vars(over_seeds(records[name], key)) for key in RESPONSES} | {"levels": list(levels)}
            for levels, name in CELLS.items()
        },
        "n_seeds": n_seeds,
        "effects": {
            " × ".join(factors): {
                key: vars(estimate([effect(records, factors, key, seed) for seed in range(n_seeds)]))
                for key in RESPONSES
            }
            for size in (1, 2, 3)
            for factors in combinations(FACTORS, size)
        },
    }


def effect(records: Records, factors: tuple[str, ...], key: str, seed: int) -> float:
    """Of a factor, or of several together, on a number, in one seed."""
    places = [list(FACTORS).index(factor) for factor in factors]
    signs = np.array([np.prod([2 * levels[place] - 1 for place in places]) for levels in CELLS])
    values = np.array([response(records[name][seed][key], key) for name in CELLS.values()])
    return float(values[signs > 0].mean() - values[signs < 0].mean())


def response(value: float, key: str) -> float:
    """A number as effects add up in it."""
    return float(np.log10(max(value, LEAST))) if key in LOGARITHMIC else value


def draw(facts: dict[str, Any], path: Path) -> None:
    """All effects with their intervals, one panel a number."""
    figure, drawn = panels(len(RESPONSES))
    for axes, key in zip(drawn, RESPONSES, strict=True):
        for place, row in enumerate(reversed(facts["effects"].values())):
            factor = scale(key)
            found = row[key]
            axes.plot(factor * found["mean"], place, "o", color="C0")
            if found["low"] is not None:
                axes.hlines(place, factor * found["low"], factor * found["high"], color="C0")
        axes.axvline(0, color="0.6", ls="--")
        names = list(reversed(facts["effects"])) if axes.get_subplotspec().is_first_col() else []
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel(heading(key))
    figure.savefig(path, dpi=130)


def scale(key: str) -> float:
    """Of an effect, for the unit of its heading."""
    return 1.0 if key in LOGARITHMIC else QUANTITIES[key].factor


def heading(key: str) -> str:
    """Of a number whose effects are shown."""
    return f"lg {QUANTITIES[key].heading}" if key in LOGARITHMIC else QUANTITIES[key].heading


def text(facts: dict[str, Any]) -> str:
    """Both tables and sentences."""
    factors = [*FACTORS]
    cells = [
        [
            *(FACTORS[factor][level] for factor, level in zip(factors, cell["levels"], strict=True)),
            *(QUANTITIES[key].interval(Estimate(**cell[key])) for key in RESPONSES),
        ]
        for cell in facts["cells"].values()
    ]
    effects = [
        [name, *(effect_text(row[key], key) for key in RESPONSES)] for name, row in facts["effects"].items()
    ]
    headings = [QUANTITIES[key].heading for key in RESPONSES]
    return "\n\n".join(
        [
            table([*factors, *headings], cells),
            "Effects, low to high level:",
            table(["effect of", *map(heading, RESPONSES)], effects),
            "\n".join(sentence(facts, key) for key in RESPONSES),
        ]
    )


def effect_text(found: dict[str, Any], key: str) -> str:
    """Mean and half width."""
    factor = scale(key)
    half = "" if found["low"] is None else f" ± {factor * (found['mean'] - found['low']):.1f}"
    return f"{factor * found['mean']:+.1f}{half}"


def sentence(facts: dict[str, Any], key: str) -> str:
    """The largest effect whose interval leaves out 0, in words."""
    clear = {
        name: row[key]
        for name, row in facts["effects"].items()
        if row[key]["low"] is not None and row[key]["low"] * row[key]["high"] > 0
    }
    if not clear:
        return f"- {heading(key)}: no effect is clear of 0."
    name = max(clear, key=lambda name: abs(clear[name]["mean"]))
    others = sorted(set(clear) - {name})
    rest = f"; also clear of 0: {', '.join(others)}" if others else "; no other is clear of 0"
    largest = f"{name}, {effect_text(clear[name], key)}"
    return f"- {heading(key)}: the largest effect that is clear of 0 is that of {largest}{rest}."
