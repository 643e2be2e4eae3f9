"""All that the probe says of a model at one structure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mlip_design.bsct.probe.paths import Path
from mlip_design.bsct.probe.result import NoPredictionError
from mlip_design.bsct.probe.walk import Walk, walk
from mlip_design.bsct.symmetry import Symmetry, measure_symmetry
from mlip_design.structures import Structure

if TYPE_CHECKING:
    from mlip_design.evaluator import Evaluator


@dataclass(frozen=True)
class Survey:
    """Walks along paths of one structure."""

    name: str
    """Of the structure."""
    walks: tuple[Walk, ...]
    failures: dict[str, str]
    """Name of a path, or "symmetry" -> why the model could not be probed there."""
    symmetry: Symmetry | None

    @property
    def is_smooth(self) -> bool:
        """Whether every path was walked to its end and none has a jump."""
        return not self.failures and not any(walk.probe.jumps or walk.probe.exhausted for walk in self.walks)

    def as_dict(self) -> dict:
        """All of it, ready for JSON."""
        walks = [
            {
                "path": walk.path.name,
                "unit": walk.path.unit,
                "start": walk.path.start,
                "stop": walk.path.stop,
                "places": list(walk.path.places),
                **asdict(walk.probe),
            }
            for walk in self.walks
        ]
        symmetry = None if self.symmetry is None else asdict(self.symmetry)
        return {"structure": self.name, "paths": walks, "failures": self.failures, "symmetry": symmetry}


def survey(
    evaluator: "Evaluator", name: str, structure: Structure, paths: Sequence[Path], max_evaluations: int
) -> Survey:
    """Walk along paths of a structure, and measure symmetry at it; where the model has no answer, say why."""
    walks, failures, symmetry = [], {}, None
    for path in paths:
        try:
            walks.append(walk(evaluator, path, max_evaluations))
        except NoPredictionError as error:
            failures[path.name] = str(error)
    try:
        symmetry = measure_symmetry(evaluator, structure)
    except NoPredictionError as error:
        failures["symmetry"] = str(error)
    return Survey(name, tuple(walks), failures, symmetry)
