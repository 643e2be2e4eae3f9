"""Trajectories as extended XYZ, one file each: text that every viewer reads, and that can be cut back to any frame.

A frame has energy (eV, potential), forces (eV/Å), momenta (sqrt(amu eV)) and time (fs), as ASE reads them.
"""

import io
import os
from pathlib import Path

import ase
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from mlip_design.dynamics.simulation import Simulation


class TrajectoryFiles:
    """The files of one simulation. lengths: bytes that count; what a killed process wrote beyond them is cut off."""

    def __init__(self, paths: list[Path], lengths: list[int] | None):
        self.paths = paths
        self.lengths = lengths or [0] * len(paths)
        self.waiting = [io.StringIO() for _ in paths]
        for path, length in zip(self.paths, self.lengths, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "ab") as file:
                file.truncate(length)

    def add(self, simulation: Simulation) -> None:
        """Keep a frame of every trajectory that moves; the last of one that has just ended, too."""
        due = simulation.step % simulation.protocol.every_frame == 0
        ended = [number for number, end in simulation.ends.items() if end.step == simulation.step]
        wanted = sorted({*(np.flatnonzero(simulation.moving).tolist() if due else ()), *ended})
        if self.paths and wanted:
            frames = frames_of(simulation)
            for number in wanted:
                write(self.waiting[number], frames[number], format="extxyz")

    def flush(self) -> list[int]:
        """Write what is waiting; the lengths of the files."""
        for number, (path, text) in enumerate(zip(self.paths, self.waiting, strict=True)):
            if content := text.getvalue().encode():
                with open(path, "ab") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                self.lengths[number] += len(content)
                self.waiting[number] = io.StringIO()
        return self.lengths


def frames_of(simulation: Simulation) -> list[ase.Atoms]:
    """Every system as it is; without energy and forces where there are none."""
    systems = simulation.systems
    per_atom = (np.split(values, systems.starts[1:]) for values in (simulation.forces, systems.momenta))
    frames = []
    for structure, energy, forces, momenta in zip(
        systems.structures(), simulation.potential_energies.tolist(), *per_atom, strict=True
    ):
        atoms = ase.Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)
        atoms.set_momenta(momenta)
        atoms.info["time"] = simulation.step * simulation.protocol.time_step
        if np.isfinite(energy):
            atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    return frames
