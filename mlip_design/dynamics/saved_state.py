"""A `Simulation` in a file, so that one that was killed goes on, bit by bit as if it had not been."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from mlip_design.bsct.storage import load_arrays, save_arrays
from mlip_design.dynamics.result import Departure, End
from mlip_design.dynamics.simulation import Simulation

ARRAYS = ("moving", "energies", "temperatures", "highest", "forces", "potential_energies")


def save_state(path: Path, simulation: Simulation, lengths: list[int]) -> None:
    """Write everything that changes. lengths: bytes written so far, of the file of every trajectory."""
    words = {
        "step": simulation.step,
        "lengths": lengths,
        "ends": {number: asdict(end) for number, end in simulation.ends.items()},
        "departures": {number: asdict(departure) for number, departure in simulation.departures.items()},
    }
    arrays = {name: getattr(simulation, name) for name in ARRAYS}
    moving = {"positions": simulation.systems.positions, "momenta": simulation.systems.momenta}
    save_arrays(path, {**arrays, **moving, "words": np.array(json.dumps(words))})


def load_state(path: Path, simulation: Simulation) -> list[int] | None:
    """Put a simulation that has not begun where a saved one was; the lengths, None if there is none."""
    arrays = load_arrays(path)
    if arrays is None:
        return None
    words = json.loads(str(arrays.pop("words")))
    systems = replace(simulation.systems, positions=arrays["positions"], momenta=arrays["momenta"])
    simulation.systems = systems
    for name in ARRAYS:
        setattr(simulation, name, arrays[name])
    simulation.part = systems.chosen(simulation.moving)
    simulation.step = words["step"]
    simulation.ends = {int(number): End(**end) for number, end in words["ends"].items()}
    simulation.departures = {
        int(number): Departure(**{**departure, "atoms": tuple(departure["atoms"])})
        for number, departure in words["departures"].items()
    }
    return words["lengths"]
