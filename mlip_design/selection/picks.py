"""The picks of all rules, each with its reason in one sentence."""

from dataclasses import dataclass

import numpy as np

from mlip_design.selection.pareto import front
from mlip_design.selection.quantities import quantity
from mlip_design.selection.rules import epsilon_constraint, knee

RULES = ("pareto", "epsilon", "knee")


@dataclass(frozen=True)
class Pick:
    """What one rule picks."""

    variants: tuple[str, ...]
    """Labels: one, for pareto the whole front, for knee none where there is no knee."""
    reason: str


def make_picks(
    points: np.ndarray, labels: list[str], marked: set[str], x: str, y: str, epsilon: float
) -> dict[str, Pick]:
    """Rule -> its pick among the variants that are not marked by a warning, or among all if all are.

    points: (n_variants, n_objectives), means of x, y and what else is minimised: `pareto` looks at all, the others at x
    and y. epsilon: of the rule of that name, a fraction.
    """
    rows = np.array([i for i, label in enumerate(labels) if label not in marked] or range(len(labels)))
    seen, names = points[rows], [labels[i] for i in rows]
    passed_over = f"; {len(marked)} with a warning passed over" if marked else ""
    if len(marked) == len(labels):
        passed_over = "; every variant has a warning"
    two = seen[:, :2]
    whole = pick_front(seen, names)
    single = {"epsilon": pick_within(two, names, x, y, epsilon), "knee": pick_knee(two, names)}
    alone = f"; {quantity(x).name} and {quantity(y).name} alone decide" if points.shape[1] > 2 else ""
    return {
        "pareto": Pick(whole.variants, whole.reason + passed_over),
        **{rule: Pick(pick.variants, pick.reason + alone + passed_over) for rule, pick in single.items()},
    }


def pick_front(points: np.ndarray, labels: list[str]) -> Pick:
    """The whole front."""
    chosen = tuple(label for label, is_front in zip(labels, front(points), strict=True) if is_front)
    other = "the other" if points.shape[1] == 2 else "another"
    return Pick(chosen, f"no other of {len(labels)} is better in one objective without being worse in {other}")


def pick_within(points: np.ndarray, labels: list[str], x: str, y: str, epsilon: float) -> Pick:
    """The lowest y within epsilon of the lowest x."""
    chosen, allowed = epsilon_constraint(points, epsilon)
    of_x, of_y = quantity(x), quantity(y)
    lowest = of_x.text(points[:, 0].min())
    reason = (
        f"lowest {of_y.name}, {of_y.text(points[chosen, 1])}, of the {allowed.sum()} out of {len(labels)} "
        f"whose {of_x.name} is at most {100 * epsilon:.3g} % above the lowest, {lowest}"
    )
    return Pick((labels[chosen],), reason)


def pick_knee(points: np.ndarray, labels: list[str]) -> Pick:
    """The point of the front farthest below its chord."""
    chosen, distance = knee(points)
    if chosen is None:
        return Pick((), "no knee: no point lies below the straight line between the ends of the front")
    if distance == 0:
        return Pick((labels[chosen],), "the only point of the front")
    return Pick(
        (labels[chosen],),
        f"farthest below the straight line between the ends of the front, by {distance:.2g} where both axes are scaled "
        "to the front's range",
    )
