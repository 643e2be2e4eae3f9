"""How many derivatives of the energy of a potential are continuous, measured with the probe in float64.

Each event is a short path on which something happens that a potential must not notice. A jump of the energy leaves
order -1, one of the forces 0, one of their slopes 1; HIGHEST is what a potential gets where nothing is found.
"""

from collections.abc import Callable
from dataclasses import dataclass

import ase
import numpy as np
import torch
from ase.build import molecule
from conftest import around_centre, predict

from mlip_design.bsct.probe import Probe, probe_many
from mlip_design.bsct.probe.paths import boundary_path
from mlip_design.bsct.probe.rays import sphere
from mlip_design.graph import batch_structures
from mlip_design.potential import Potential
from mlip_design.structures import Structure, from_atoms

HIGHEST = 2
MAX_EVALUATIONS = 3000
SHELL = 2.7 * sphere(14)
"""(14, 3) Å, directions spread evenly, all at one distance."""
SIDEWAYS = np.array([0.31, -0.2, 0.93])
BOUNDARY = boundary_path(from_atoms(molecule("H2O")))
"""Of a periodic box around a molecule."""


def swapping(distance: float) -> Structure:
    """An atom that overtakes a neighbour of a centre at 2.0 Å."""
    return around_centre([1.5, 2.0, 2.4, 3.1, 3.3], distance)


def leaving(distance: float) -> Structure:
    """An atom that leaves a centre, while others stay near the cutoff of 6 Å."""
    return around_centre([1.5, 2.0, 2.4, 5.6, 5.8], distance)


def in_a_shell(offset: float) -> Structure:
    """An atom that passes the centre of 14 equidistant ones: Å from there."""
    return from_atoms(ase.Atoms("NC14", np.vstack([offset * SIDEWAYS, SHELL])))


@dataclass(frozen=True)
class Event:
    """A path and what is known to happen on it."""

    structure: Callable[[float], Structure]
    """Of a coordinate, Å."""
    start: float
    stop: float
    place: float
    """Coordinate of the event, Å."""
    n_neighbors: int
    """Asked of selections that count them: so few that the count decides, or so many that it does not."""


EVENTS = {
    "rank swap": Event(swapping, 1.93, 2.07, 2.0, n_neighbors=4),
    "cutoff": Event(leaving, 5.9, 6.05, 6.0, n_neighbors=12),
    "boundary": Event(BOUNDARY.structure, -0.1, 0.1, 0.0, n_neighbors=12),
    "shell": Event(in_a_shell, -0.08, 0.12, 0.0, n_neighbors=6),  # each has a soft rank of 7 there
    "leaving by rank": Event(leaving, 4.4, 6.05, 6.0, n_neighbors=5),
}


def probe_event(potential: Potential, event: Event) -> Probe:
    """Jumps and kinks of a potential on the way through an event."""
    ask_for(potential, event)

    def evaluate_many(coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        prediction = predict(potential, [event.structure(float(coordinate)) for coordinate in coordinates])
        return prediction.energy.numpy(), prediction.forces.unflatten(0, (len(coordinates), -1)).numpy()

    return probe_many(
        evaluate_many,
        event.start,
        event.stop,
        places=(event.place,),
        first_step=(event.stop - event.start) / 16,
        max_evaluations=MAX_EVALUATIONS,
    )


def order_of(probe: Probe) -> int:
    """-1 for a jump of the energy, 0 for one of the forces, 1 for one of their slopes, HIGHEST for none."""
    if any(jump.energy_jump > probe.energy_floor for jump in probe.jumps):
        return -1
    return 0 if probe.jumps else 1 if probe.kinks else HIGHEST


def measured_orders(potential: Potential, events: list[str]) -> dict[str, int]:
    """Name of an event -> order."""
    return {name: order_of(probe_event(potential, EVENTS[name])) for name in events}


def prove(name: str, potential: Potential, events: list[str], promised: float | None = None) -> dict[str, int]:
    """The measured orders. Raises AssertionError, by name, for one below what is promised.

    promised: an order to hold the potential to; None: what it promises itself.
    """
    promised = potential.continuity_order if promised is None else promised
    orders = measured_orders(potential, events)
    broken = [f"{event}: {order}" for event, order in orders.items() if order < min(promised, HIGHEST)]
    assert not broken, f"{name} should have order {promised}, but has at {', '.join(broken)}"
    return orders


def curvature_along(potential: Potential, event: Event) -> torch.Tensor:
    """Second derivatives of the energy, (3 n_atoms,) eV/Å^2, along a direction that moves every atom, at the event."""
    ask_for(potential, event)
    graph = batch_structures([event.structure(event.place)], potential.cutoff, potential.dtype)
    positions = graph.positions.clone().requires_grad_()
    energy = potential.atomic_energies(graph, positions, None).sum()
    slope = torch.autograd.grad(energy, positions, create_graph=True)[0]
    direction = torch.randn(slope.shape, dtype=slope.dtype, generator=torch.Generator().manual_seed(0))
    return torch.autograd.grad((slope * direction).sum(), positions)[0].flatten()


def ask_for(potential: Potential, event: Event) -> None:
    """Give selections that count neighbours the number that an event wants."""
    if hasattr(potential.neighbors, "n_neighbors"):
        potential.neighbors.n_neighbors = event.n_neighbors
