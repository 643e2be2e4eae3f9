"""The result of a comparison: what the terminal, the report and JSON are made from."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from mlip_design.selection.picks import Pick
from mlip_design.selection.statistics import Correlation
from mlip_design.selection.variants import Variant


@dataclass(frozen=True)
class Reference:
    """The corner that the hypervolume is measured from, in one objective."""

    value: float
    meaning: str


@dataclass(frozen=True)
class Selection:
    """Variants compared by the metrics x and y, and others if asked, all minimised. Labels stand for variants."""

    x: str
    y: str
    also: tuple[str, ...]
    """Objectives beside x and y: they count in who beats whom, not in the rules that pick one variant."""
    variants: tuple[Variant, ...]
    """Lowest x first."""
    shared: dict[str, str]
    """Choices that all variants have in common."""
    left_out: dict[str, str]
    """Folder or file of a run -> why it is not compared."""
    front: tuple[str, ...]
    """Variants that no other beats, lowest x first."""
    beaten_by: dict[str, tuple[str, ...]]
    """Every other variant -> those that are nowhere worse and somewhere better."""
    warnings: dict[str, tuple[str, ...]]
    """Marked variant -> what speaks against it."""
    references: dict[str, Reference]
    """Objective -> corner of the hypervolume."""
    hypervolume: float
    """Area between front and references, in units of x times units of y."""
    picks: dict[str, Pick]
    """Rule (pareto, epsilon, knee) -> what it picks among the variants without warnings."""
    held_out: tuple[str, ...]
    """Objectives on data that took no part in the selection, where all variants have them."""
    ranks: dict[str, dict[str, int]]
    """Variant -> objective or held-out metric -> its place among all variants, 1 the lowest."""
    correlation: Correlation | None
    """Of x and y over variants; None where it cannot be known."""
    importance: dict[str, dict[str, float | None]]
    """Choice -> objective -> `share_of_variance`."""
    notes: tuple[str, ...]
    """What else a reader should know, one sentence each."""

    @property
    def objectives(self) -> tuple[str, ...]:
        """All that is minimised, x and y first."""
        return (self.x, self.y, *self.also)

    def __getitem__(self, label: str) -> Variant:
        """The variant of a label."""
        return next(variant for variant in self.variants if variant.label == label)

    def place(self, label: str) -> int:
        """The number of a variant in the order of `variants`, from 1."""
        return 1 + [variant.label for variant in self.variants].index(label)

    @property
    def n_runs(self) -> int:
        """Number of runs compared."""
        return sum(len(variant.runs) for variant in self.variants)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, strings, lists and mappings, for JSON."""
        return {
            **vars(self),
            "variants": [self.variant_as_dict(variant) for variant in self.variants],
            "references": {name: asdict(one) for name, one in self.references.items()},
            "picks": {rule: asdict(pick) for rule, pick in self.picks.items()},
            "correlation": asdict(self.correlation) if self.correlation else None,
        }

    def variant_as_dict(self, variant: Variant) -> dict[str, Any]:
        """One variant with its runs and everything that is said of it."""
        shown = (*self.objectives, *self.held_out)
        return {
            "label": variant.label,
            "choices": variant.choices,
            "command": variant.command,
            "on_front": variant.label in self.front,
            "beaten_by": self.beaten_by.get(variant.label, ()),
            "warnings": self.warnings.get(variant.label, ()),
            "ranks": self.ranks[variant.label],
            "metrics": {name: asdict(one) for name, one in variant.metrics.items()},
            "runs": [
                {"folder": str(run.folder), "seed": run.seed, "metrics": {n: finite(run.value(n)) for n in shown}}
                for run in variant.runs
            ],
        }


def finite(value: float) -> float | None:
    """A number as JSON knows it."""
    return value if math.isfinite(value) else None
