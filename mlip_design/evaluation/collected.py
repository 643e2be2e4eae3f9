"""Labels and predictions of all structures of an evaluation, as arrays; about 110 bytes an atom."""

from array import array
from functools import cached_property

import numpy as np
from ase.formula import Formula
from ase.symbols import Symbols

from mlip_design.evaluation.predicting import Predicted

NO_GROUP = ""


class Collected:
    """Filled one structure at a time by `add`, then read. Reference before prediction; NaN for what is unknown."""

    def __init__(self):
        self.names: list[str] = []
        self.groups: list[str] = []
        self.rows = {name: array(kind) for name, kind in (("sizes", "q"), ("numbers", "B"))}
        self.rows |= {name: array("d") for name in ("energies", "forces", "stresses")}

    def add(self, one: Predicted) -> None:
        """Take over a structure that has a prediction."""
        structure = one.entry.structure
        self.names.append(one.entry.name)
        self.groups.append(one.entry.group or NO_GROUP)
        self.rows["sizes"].append(len(structure.numbers))
        self.rows["numbers"].frombytes(structure.numbers.astype(np.uint8).tobytes())
        self.rows["energies"].extend([np.nan if structure.energy is None else structure.energy, one.energy])
        forces = unknown_as_nan(structure.forces, one.forces.shape), one.forces
        self.rows["forces"].frombytes(np.stack(forces, axis=1).astype(np.float64).tobytes())
        stresses = [unknown_as_nan(values, (3, 3)) for values in (structure.stress, one.stress)]
        self.rows["stresses"].frombytes(np.stack(stresses).astype(np.float64).tobytes())

    @cached_property
    def sizes(self) -> np.ndarray:
        """(n_structures,) int64, atoms of each."""
        return np.frombuffer(self.rows["sizes"], dtype=np.int64)

    @cached_property
    def numbers(self) -> np.ndarray:
        """(n_atoms,) uint8, atomic numbers."""
        return np.frombuffer(self.rows["numbers"], dtype=np.uint8)

    @cached_property
    def energies(self) -> np.ndarray:
        """(n_structures, 2), eV."""
        return np.frombuffer(self.rows["energies"]).reshape(-1, 2)

    @cached_property
    def forces(self) -> np.ndarray:
        """(n_atoms, 2, 3), eV/Å."""
        return np.frombuffer(self.rows["forces"]).reshape(-1, 2, 3)

    @cached_property
    def stresses(self) -> np.ndarray:
        """(n_structures, 2, 9), eV/Å^3."""
        return np.frombuffer(self.rows["stresses"]).reshape(-1, 2, 9)

    @cached_property
    def structure_of_atom(self) -> np.ndarray:
        """(n_atoms,) int64."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def atoms_of(self, index: int) -> slice:
        """The atoms of one structure."""
        end = int(self.sizes[: index + 1].sum())
        return slice(end - int(self.sizes[index]), end)

    def formula(self, index: int) -> str:
        """Of one structure, such as "C2H6O"."""
        return Formula(str(Symbols(self.numbers[self.atoms_of(index)]))).format("hill")


def unknown_as_nan(values: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """The values, or NaN in that shape for None."""
    return np.full(shape, np.nan) if values is None else values
