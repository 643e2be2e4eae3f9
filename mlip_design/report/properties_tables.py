"""Tables of properties: every quantity of every structure, means of the errors, what has no answer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Facts = Mapping[str, Any]
"""What `properties.json` holds, or a part of it."""

HEADINGS = ("structure", "property", "quantity", "reference", "model", "error")


def rows(facts: Facts) -> Iterator[list[str]]:
    """Cells under `HEADINGS`, by structure, property and quantity."""
    for entry in facts["structures"]:
        for name, one in entry["properties"].items():
            for quantity in one.get("quantities", ()):
                what = ", ".join(filter(None, (quantity["part"], quantity["name"], quantity["unit"])))
                values = [number(quantity[key]) for key in ("reference", "model", "error")]
                yield [title(entry), name, what, *values]


def mean_rows(facts: Facts) -> Iterator[list[str]]:
    """Cells of property, quantity, mean absolute error, how many values."""
    for name, found in facts["means"].items():
        for quantity, mean in found.items():
            what = ", ".join(filter(None, (quantity, mean["unit"])))
            yield [name, what, number(mean["mean_absolute_error"]), str(mean["values"])]


def messages(facts: Facts, key: str) -> list[tuple[str, str, str]]:
    """(structure, property, sentence). key: a status, for the reasons, or "notes"."""
    found = []
    for entry in facts["structures"]:
        for name, one in entry["properties"].items():
            sentences: Sequence[str] = one.get("notes", ()) if key == "notes" else [one["reason"]]
            if key in ("notes", one["status"]):
                found += [(title(entry), name, sentence) for sentence in sentences]
    return found


def title(entry: Facts) -> str:
    """A structure as shown."""
    return f"{entry['name']} {entry['formula']}"


def number(value: float | None) -> str:
    """Four digits, whole numbers as they are, a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.4g}"
