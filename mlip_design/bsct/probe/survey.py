"""All that the probe says of a model at one structure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mlip_design.bsct.probe.paths import Path
from mlip_design.bsct.probe.result import NoPredictionError
from mlip_design.bsct.probe.walk import Walk, walk
from mlip_design.bsct.symmetry import Symmetry, measure_symmetry
from mlip_design.potential import UnknownElementError
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
    """Path, "symmetry" or "all" -> why the model was not probed there."""
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
    evaluator: "Evaluator",
    name: str,
    structure: Structure,
    paths: Sequence[Path],
    lacking: Mapping[str, str],
    max_evaluations: int,
) -> Survey:
    """Walk along paths of a structure, and measure symmetry at it; where the model has no answer, say why.

    lacking: path that was asked for -> why the structure does not have it.
    """
    walks, failures, symmetry = [], dict(lacking), None
    try:
        symmetry = measure_symmetry(evaluator, structure)
    except UnknownElementError as error:
        return Survey(name, (), {"all": str(error)}, None)
    except NoPredictionError as error:
        failures["symmetry"] = str(error)
    for path in paths:
        try:
            walks.append(walk(evaluator, path, max_evaluations))
        except NoPredictionError as error:
            failures[path.name] = str(error)
    return Survey(name, tuple(walks), failures, symmetry)
