"""What a probe finds along a path."""

from dataclasses import dataclass


class NoPredictionError(ValueError):
    """A model has no finite energy and forces at some point of a path."""


@dataclass(frozen=True)
class Jump:
    """A discontinuity of energy or forces."""

    coordinate: float
    """In the unit of the path."""
    energy_jump: float
    """eV, absolute."""
    force_jump: float
    """eV/Å, norm over all atoms and axes."""


@dataclass(frozen=True)
class Kink:
    """A discontinuity of the derivative of the forces, where energy and forces are continuous."""

    coordinate: float
    """In the unit of the path."""
    slope_jump: float
    """eV/Å per unit of the coordinate, norm over all atoms and axes."""


@dataclass(frozen=True)
class Probe:
    """Jumps and kinks along a path, and what would have been too small to be seen."""

    jumps: tuple[Jump, ...]
    kinks: tuple[Kink, ...]
    n_evaluations: int
    exhausted: bool
    """Whether the evaluations ran out before every interval was settled."""
    energy_floor: float
    """eV; smaller jumps are not reported. Higher than usual where rounding is coarse, as in float32."""
    force_floor: float
    """eV/Å."""
    slope_floor: float
    """eV/Å per unit of the coordinate."""
