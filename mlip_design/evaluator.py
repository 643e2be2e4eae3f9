"""Energies, forces and stresses of structures from whatever predicts them: a trained potential or an ASE calculator.

A model argument is a checkpoint, a run folder, or an ASE calculator as `module:callable` with keyword arguments.
"""

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import ase
import numpy as np
import torch
from ase.calculators.calculator import BaseCalculator
from ase.stress import voigt_6_to_full_3x3_stress

from mlip_design.callables import find_callable, find_modules_here, key_value, one_line
from mlip_design.checkpoint import load_potential
from mlip_design.dependencies import dependencies, versions
from mlip_design.graph import batch_structures, in_batches
from mlip_design.memory import keep_freed_memory
from mlip_design.potential import Potential, UnknownElementError
from mlip_design.precision import floating_point
from mlip_design.stored_model import model_files
from mlip_design.structures import Structure

PACKAGE = Path(__file__).parent
HASHED_OTHERWISE = ("mlip_design.", "torch.", "e3nn.")
"""Modules whose code a fingerprint holds as a whole or by their version."""
NO_STRESS = "the model gives no stress, which scans of the volume compare"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of n_structures structures, in float64."""

    energies: np.ndarray
    """(n_structures,), eV; NaN where none could be computed."""
    forces: list[np.ndarray]
    """n_structures times (n_atoms, 3), eV/Å; NaN where none could be computed."""
    failures: dict[int, str] = field(default_factory=dict)
    """Index of a structure -> why it could not be computed."""
    stresses: np.ndarray | None = None
    """(n_structures, 3, 3), eV/Å^3, sign as in ASE; NaN where none could be computed. None if not asked for."""


class Evaluator(Protocol):
    """What predicts, whatever it is."""

    name: str
    """As the user wrote it."""
    at_once: int
    """Structures worth giving it in one call: what a process loses when it is killed, against what batches gain."""

    @property
    def fingerprint(self) -> str:
        """Hash of all that the predictions depend on beside the structures."""
        ...

    @property
    def has_stress(self) -> bool:
        """Whether it can predict stresses."""
        ...

    def __call__(self, structures: Sequence[Structure], stress: bool = False) -> Predictions:
        """Predict. stress: of crystals, too. Raises UnknownElementError for an element unknown to a potential."""
        ...


class PotentialEvaluator:
    """A checkpoint, run folder or exported model: many structures in one forward.

    dtype: 'float64' or 'float32'. max_atoms: atoms in one forward at most (one structure at least). allow: modules
    whose blocks may be loaded beside those of this package.
    """

    at_once = 200

    def __init__(
        self,
        path: str | Path,
        device: str = "cpu",
        dtype: str = "float64",
        max_atoms: int = 512,
        allow: Sequence[str] = (),
    ):
        self.name = str(path)
        self.files = model_files(path)
        self.dtype = dtype
        self.max_atoms = max_atoms
        keep_freed_memory()
        self.potential: Potential = load_potential(path, device, floating_point(dtype), allow)
        self.has_stress = self.potential.has_stress

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the files, type of device and numbers, versions of torch and e3nn, code of blocks and potential."""
        kinds = {type(module) for module in self.potential.modules()}
        theirs = {
            inspect.getsourcefile(kind) for kind in kinds if not kind.__module__.startswith(HASHED_OTHERWISE)
        }
        computing = [PACKAGE / name for name in ("potential.py", "graph.py", "neighbors.py")]
        blocks = sorted(p for p in PACKAGE.glob("blocks/**/*") if p.suffix in (".py", ".c", ".h"))
        code = [Path(p).read_bytes() for p in [*computing, *blocks, *sorted(theirs)]]
        weights = [file.read_bytes() for file in self.files]
        known = [self.dtype, self.potential.device.type, *versions(["torch", "e3nn"])]
        return digest(*weights, repr(known).encode(), *code)

    def __call__(self, structures: Sequence[Structure], stress: bool = False) -> Predictions:
        """See `Evaluator`."""
        return predict(self.potential, structures, self.max_atoms, stress)


def predict(
    potential: Potential, structures: Sequence[Structure], max_atoms: int, stress: bool = False
) -> Predictions:
    """What a potential says of structures, max_atoms atoms in one forward at most (one structure at least).

    stress: predict stresses, too; NaN for structures without volume, and with failures where the potential has none.
    Raises UnknownElementError for an element that it was not trained on.
    """
    energies, forces, stresses = [np.empty(0)], [], [np.empty((0, 3, 3))]
    for structure in structures:
        potential.check_elements(structure.numbers)
    for batch in in_batches(structures, max_atoms):
        graph = batch_structures(batch, potential.cutoff, potential.dtype)
        with torch.no_grad():
            prediction = potential(graph.to(potential.device), stress=stress and potential.has_stress)
        energies.append(prediction.energy.double().cpu().numpy())
        ends = np.cumsum([len(structure.numbers) for structure in batch])[:-1]
        forces += np.split(prediction.forces.double().cpu().numpy(), ends)
        if prediction.stress is not None:
            stresses.append(prediction.stress.double().cpu().numpy())
        elif stress:
            stresses.append(np.full((len(batch), 3, 3), np.nan))
    reasons = {} if potential.has_stress or not stress else dict.fromkeys(range(len(structures)), NO_STRESS)
    return Predictions(np.concatenate(energies), forces, reasons, np.concatenate(stresses) if stress else None)


class CalculatorEvaluator:
    """An ASE calculator as `module:callable`, one structure after the other.

    arguments: keyword arguments of the callable. Raises ValueError if it cannot be imported or makes no calculator.
    """

    at_once = 10

    def __init__(self, name: str, arguments: dict[str, Any]):
        self.name = name
        self.arguments = arguments
        self.factory = find_callable(name)
        try:
            self.calculator: BaseCalculator = self.factory(**arguments)
        except (Exception, SystemExit) as error:  # of any calculator
            raise ValueError(f"{name}: cannot be made with {arguments} ({one_line(error)})") from error
        missing = [part for part in ("get_potential_energy", "get_forces") if not hasattr(self.calculator, part)]
        if missing:
            made = type(self.calculator).__name__
            raise ValueError(f"{name}: makes a {made}, no ASE calculator (it has no {' and no '.join(missing)})")

    @cached_property
    def fingerprint(self) -> str:
        """Hash of name, arguments, files that these name, source files and versions: see docs/bsct.md."""
        return digest(*dependencies(self.name, self.factory, self.arguments))

    @property
    def has_stress(self) -> bool:
        """Whether the calculator says that it implements it."""
        return "stress" in getattr(self.calculator, "implemented_properties", ())

    def __call__(self, structures: Sequence[Structure], stress: bool = False) -> Predictions:
        """See `Evaluator`."""
        energies = np.full(len(structures), np.nan)
        forces = [np.full_like(structure.positions, np.nan) for structure in structures]
        stresses = np.full((len(structures), 3, 3), np.nan) if stress else None
        if stress and not self.has_stress:
            return Predictions(energies, forces, dict.fromkeys(range(len(structures)), NO_STRESS), stresses)
        failures = {}
        for index, s in enumerate(structures):
            atoms = ase.Atoms(s.numbers, s.positions, cell=s.cell, pbc=s.pbc, calculator=self.calculator)
            try:
                if stress:  # first, for some calculators then compute all three at once
                    stresses[index] = full_stress(self.calculator.get_stress(atoms))
                predicted = in_shape("forces", self.calculator.get_forces(atoms), s.positions.shape)
                energies[index] = in_shape("energy", np.squeeze(self.calculator.get_potential_energy(atoms)), ())
            except UnknownElementError:
                raise
            except Exception as error:  # of any calculator
                failures[index] = one_line(error)
            else:
                forces[index] = predicted
        return Predictions(energies, forces, failures, stresses)


def full_stress(values: Any) -> np.ndarray:
    """A stress as (3, 3) of one that may be in the order of Voigt, (6,)."""
    if np.shape(values) == (3, 3):
        return np.array(values, dtype=np.float64)
    return voigt_6_to_full_3x3_stress(in_shape("stress", values, (6,)))


def in_shape(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Values of a calculator in float64. Raises ValueError for another shape."""
    found = np.array(values, dtype=np.float64)
    if found.shape != shape:
        raise ValueError(f"{name} of shape {found.shape}, expected {shape}")
    return found


def open_evaluator(
    model: str,
    arguments: Sequence[str] = (),
    device: str = "cpu",
    dtype: str = "float64",
    max_atoms: int = 512,
    allow: Sequence[str] = (),
) -> Evaluator:
    """The evaluator of a model argument. arguments: `key=value` texts for a calculator; values as in Python.

    allow: modules, of the working directory too, whose blocks a checkpoint may use beside those of this package.
    Raises ValueError or FileNotFoundError for one that cannot be opened.
    """
    if not is_calculator(model):
        if arguments:
            raise ValueError(f"--calculator-args: {model} is a checkpoint; arguments go with module:callable")
        check_device(device)
        if allow:
            find_modules_here()
        return PotentialEvaluator(model, device, dtype, max_atoms, allow)
    return CalculatorEvaluator(model, dict(map(key_value, arguments)))


def is_calculator(model: str) -> bool:
    """Whether a model argument is an ASE calculator, not a checkpoint or run folder."""
    return ":" in model and not Path(model).exists()


def check_device(device: str) -> None:
    """Raise ValueError for a device that torch does not have here."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device: {device!r} cannot be used here ({reason})") from error


def digest(*parts: bytes) -> str:
    """Hash of several pieces of content."""
    found = hashlib.sha256()
    for part in parts:
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()
