"""What a property gives: numbers by the reference and by the model, and lines to draw."""

from dataclasses import dataclass, field
from typing import Any


class LeftOut(ValueError):
    """A property that a structure does not have; the message says why."""


class Failed(ValueError):
    """A calculation that came to no end; the message says which and why."""


@dataclass(frozen=True)
class Quantity:
    """One number; None where there is none.

    name, unit: as shown; unit "" if dimensionless. reference, model: its values. error: model against reference; as a
    rule their difference, for many values at once the mean absolute difference. part: of the structure, such as the
    atoms of a torsion; "" for the whole.
    """

    name: str
    unit: str
    reference: float | None
    model: float | None
    error: float | None
    part: str = ""


def difference(name: str, unit: str, reference: float, model: float | None, part: str = "") -> Quantity:
    """A quantity whose error is model - reference."""
    reference = float(reference)
    known = model is not None
    values = (float(model), float(model) - reference) if known else (None, None)
    return Quantity(name, unit, reference, *values, part)


@dataclass(frozen=True)
class Line:
    """y against x, (n_points,) each; None where there is no value. by: "reference" or "model"."""

    by: str
    x: list[float]
    y: list[float | None]


@dataclass(frozen=True)
class Figure:
    """Lines in one frame. x, y: what the axes show, with units. ticks: (place, label) on the x axis."""

    name: str
    x: str
    y: str
    lines: list[Line]
    ticks: list[tuple[float, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Measured:
    """A property of one structure. notes: sentences for whoever reads the numbers. details: anything for JSON."""

    quantities: list[Quantity]
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
