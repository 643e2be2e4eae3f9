"""Energies and forces of all systems at once, from a potential or from any ASE calculator."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from mlip_design.dynamics.moving_graph import MovingGraph
from mlip_design.dynamics.systems import Systems
from mlip_design.evaluator import Evaluator, PotentialEvaluator
from mlip_design.potential import Potential

SKIN = 0.5
"""Å; as of the ASE calculator."""


@dataclass(frozen=True)
class Evaluation:
    """Of systems, in float64; not finite where there is no answer."""

    energies: np.ndarray
    """(n_systems,), eV."""
    forces: np.ndarray
    """(n_atoms, 3), eV/Å."""
    failures: dict[int, str] = field(default_factory=dict)
    """System -> why it could not be computed."""


ForceField = Callable[[Systems], Evaluation]
"""Whatever moves systems."""


class PotentialForces:
    """A trained potential: all systems in one forward, pairs searched for only when atoms have moved far."""

    def __init__(self, potential: Potential, skin: float = SKIN):
        self.potential = potential
        self.graphs = MovingGraph(potential, skin)

    def __call__(self, systems: Systems) -> Evaluation:
        """Evaluate; results do not depend on what was evaluated before."""
        with torch.no_grad():
            prediction = self.potential(self.graphs(systems))
        return Evaluation(prediction.energy.double().cpu().numpy(), prediction.forces.double().cpu().numpy())


class EvaluatorForces:
    """Whatever an `Evaluator` stands for, such as an ASE calculator."""

    def __init__(self, evaluator: Evaluator):
        self.evaluator = evaluator

    def __call__(self, systems: Systems) -> Evaluation:
        """Evaluate, one system after the other where a calculator does."""
        found = self.evaluator(systems.structures())
        return Evaluation(found.energies, np.concatenate(found.forces), found.failures)


def force_field_of(evaluator: Evaluator) -> ForceField:
    """The fastest way to the forces of a model."""
    if isinstance(evaluator, PotentialEvaluator):
        return PotentialForces(evaluator.potential)
    return EvaluatorForces(evaluator)
