"""Tables of a page: what stands in them, apart from how it looks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Column:
    """heading and unit as shown. digits: decimals of its numbers, None for a column of text."""

    heading: str
    unit: str = ""
    digits: int | None = None

    @property
    def is_number(self) -> bool:
        """Whether it is aligned and sorted by value."""
        return self.digits is not None

    def text(self, value: float | str | None) -> str:
        """A cell as shown: numbers with fixed decimals and thousands, a dash where there is none."""
        if isinstance(value, str):
            return value
        if value is None or not math.isfinite(value):
            return "–"
        return f"{value:,.{self.digits or 0}f}"

    def key(self, value: float | str | None) -> str:
        """What a cell is sorted by; nothing where there is no number, which comes last in either direction."""
        if isinstance(value, str):
            return Markup(value).striptags()
        return repr(float(value)) if value is not None and math.isfinite(value) else ""


@dataclass(frozen=True)
class Table:
    """rows: as many cells as columns each; numbers in the unit of the column, text, `Markup`, or None."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[float | str | None]]
    can_filter: bool = False
    """Whether a field above it keeps the rows that hold what is typed."""


def anchor(target: str, text: str) -> Markup:
    """A link; target and text are escaped."""
    return Markup('<a href="{}">{}</a>').format(target, text)
