"""What becomes of a trajectory."""

from dataclasses import dataclass


class DynamicsError(ValueError):
    """A simulation that cannot be done as asked; the message names what, its value and what is allowed."""


@dataclass(frozen=True)
class End:
    """Why a trajectory ended before its last step."""

    step: int
    reason: str


@dataclass(frozen=True)
class Departure:
    """The first bond that differed too much from its relaxed length."""

    step: int
    atoms: tuple[int, int]
    """Of the structure, from 0."""
    relaxed: float
    """Å."""
    length: float
    """Å."""
