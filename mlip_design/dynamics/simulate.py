"""Structures relaxed, and simulated from several seeds, in batches; from where they were if they were killed."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mlip_design.bsct.storage import load_arrays, save_arrays
from mlip_design.dynamics.force_field import ForceField
from mlip_design.dynamics.protocol import Protocol
from mlip_design.dynamics.relax import relaxed
from mlip_design.dynamics.saved_state import load_state, save_state
from mlip_design.dynamics.simulation import Simulation
from mlip_design.dynamics.start import warmed
from mlip_design.dynamics.systems import side_by_side
from mlip_design.dynamics.trajectory import Trajectory
from mlip_design.dynamics.trajectory_files import TrajectoryFiles
from mlip_design.graph import in_batches
from mlip_design.structures import Structure

SAVE_SECONDS = 10.0
"""Between two states on disk: what a kill loses at most."""


@dataclass(frozen=True)
class Starts:
    """Structures from which trajectories start."""

    structures: dict[int, Structure]
    """By number, on which velocities and noise depend."""
    relaxed: dict[int, bool | None]
    """Whether each was; None if nobody asked for it."""


def relax_all(
    force_field: ForceField,
    structures: Mapping[int, Structure],
    protocol: Protocol,
    max_atoms: int,
    folder: Path | None = None,
    progress: bool = False,
) -> Starts:
    """Relax structures as the protocol says, max_atoms atoms at once; what a folder has already is read."""
    if not protocol.relax:
        return Starts(dict(structures), dict.fromkeys(structures))
    found, converged = [], []
    with bar("relax", len(structures), progress) as shown:
        for number, batch in enumerate(in_batches(structures.values(), max_atoms)):
            path = None if folder is None else folder / f"relaxed_{number:03d}.npz"
            arrays = None if path is None else load_arrays(path)
            if arrays is None:
                result = relaxed(side_by_side(batch), force_field, protocol.force_limit, protocol.relax_steps)
                arrays = {"positions": result.systems.positions, "converged": result.converged}
                if path is not None:
                    save_arrays(path, arrays)
            ends = np.cumsum([len(structure.numbers) for structure in batch])[:-1]
            moved = zip(batch, np.split(arrays["positions"], ends), strict=True)
            found += [replace(structure, positions=positions) for structure, positions in moved]
            converged += arrays["converged"].tolist()
            shown.update(len(batch))
    return Starts(dict(zip(structures, found, strict=True)), dict(zip(structures, converged, strict=True)))


def simulate(
    force_field: ForceField,
    starts: Starts,
    protocol: Protocol,
    seeds: Sequence[int],
    max_atoms: int,
    folder: Path | None = None,
    frames: Path | None = None,
    progress: bool = False,
) -> list[Trajectory]:
    """A trajectory of every structure from every seed, structure by structure, max_atoms atoms at once.

    folder: of the states from which one that was killed goes on. frames: of the files of the trajectories.
    """
    jobs = [(number, seed) for number in starts.structures for seed in seeds]
    found: list[Trajectory] = []
    with bar(f"{protocol.time_step:g} fs", len(jobs) * protocol.steps, progress) as shown:
        for batch in in_batches([starts.structures[number] for number, _ in jobs], max_atoms):
            own = jobs[len(found) : len(found) + len(batch)]
            state = None if folder is None else folder / f"state_{len(found):04d}.npz"
            paths = [] if frames is None else [frames / f"{number:04d}_seed{seed}.xyz" for number, seed in own]
            simulation = set_up(force_field, batch, protocol, own)
            to_the_end(simulation, state, paths, shown)
            found += trajectories(simulation, own, starts)
    return found


def set_up(
    force_field: ForceField, batch: Sequence[Structure], protocol: Protocol, jobs: Sequence[tuple[int, int]]
) -> Simulation:
    """A simulation that has not begun; velocities and noise depend on seed and number of structures."""
    starts = warmed(side_by_side(batch), protocol.temperature, [(seed, number, 0) for number, seed in jobs])
    return Simulation(starts, force_field, protocol, [(seed, number, 1) for number, seed in jobs])


def to_the_end(simulation: Simulation, state: Path | None, paths: list[Path], shown: tqdm) -> None:
    """Advance until nothing moves; write frames and, every so often and at the end, the state."""
    lengths = None if state is None else load_state(state, simulation)
    files = TrajectoryFiles(paths, lengths)
    count = simulation.systems.n_systems
    if lengths is None:
        simulation.begin()
        files.add(simulation)
    shown.update(count * simulation.step)
    saved = time.monotonic()
    while not simulation.is_over:
        simulation.advance()
        files.add(simulation)
        shown.update(count)
        if state is not None and time.monotonic() - saved > SAVE_SECONDS:
            save_state(state, simulation, files.flush())
            saved = time.monotonic()
    shown.update(count * (simulation.protocol.steps - simulation.step))
    if state is not None:
        save_state(state, simulation, files.flush())


def trajectories(simulation: Simulation, jobs: Sequence[tuple[int, int]], starts: Starts) -> list[Trajectory]:
    """One by one."""
    protocol, systems = simulation.protocol, simulation.systems
    times = np.arange(len(simulation.energies)) * protocol.every_record * protocol.time_step / 1000
    return [
        Trajectory(
            structure=structure,
            seed=seed,
            numbers=starts.structures[structure].numbers,
            relaxed=starts.relaxed[structure],
            times=times,
            energies=simulation.energies[:, place],
            temperatures=simulation.temperatures[:, place],
            highest_temperature=float(simulation.highest[place]),
            time_step=protocol.time_step,
            end=simulation.ends.get(place),
            departure=simulation.departures.get(place),
        )
        for place, (structure, seed) in zip(range(systems.n_systems), jobs, strict=True)
    ]


def bar(title: str, total: int, progress: bool) -> tqdm:
    """A progress bar, on terminals only."""
    disable = None if progress else True
    return tqdm(total=total, desc=title, leave=False, disable=disable, file=sys.stdout, smoothing=0.05)
