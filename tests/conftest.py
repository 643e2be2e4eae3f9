"""What the tests share: small models composed by Hydra from the YAML files, structures, and physical measurements."""

import atexit
import os
import shutil
import tempfile

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: OpenMP threads are slow on a busy machine

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mlip_design.config import model_arguments, register_resolvers
from mlip_design.graph import batch_structures
from mlip_design.potential import Potential, Prediction, Statistics
from mlip_design.structures import Structure, from_atoms

os.environ["MLIP_DESIGN_CACHE"] = tempfile.mkdtemp(prefix="mlip_design_cache")  # the user's own stays as it is
atexit.register(shutil.rmtree, os.environ["MLIP_DESIGN_CACHE"], ignore_errors=True)
torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
BLOCKS = sorted((path.parent.name, path.stem) for path in (CONF / "model").glob("*/*.yaml"))
BLOCK_IDS = ["=".join(block) for block in BLOCKS]
BASE_MODEL = "smooth_attn"
SMALL = {"n_features": 32, "n_layers": 2}
STATISTICS = Statistics({n: -3.1 - 0.37 * n for n in (1, 6, 7, 8, 11, 17, 29, 79)}, force_rms=3.0)


def blocks_of(group: str) -> list[str]:
    """Names of the blocks of a group, one for each of its YAML files."""
    return [name for folder, name in BLOCKS if folder == group]


# Models


@cache
def composed(conf: Path, overrides: tuple[str, ...]) -> DictConfig:
    """The whole configuration under overrides."""
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        return compose("train", list(overrides))


def small_config(*overrides: str, conf: Path = CONF, sizes: dict[str, int] = SMALL, **blocks: str) -> dict:
    """The model node under overrides, with few features, resolved: what a checkpoint holds as `model_config`.

    sizes: arguments of the backbone, where it has them. blocks: group -> name, blocks as their own YAML files have
    them, whatever the model says of its own blocks.
    """
    config = composed(conf, overrides).copy()
    for group, name in blocks.items():
        config.model[group] = OmegaConf.load(conf / "model" / group / f"{name}.yaml")
    for key, value in sizes.items():
        if key in config.model.backbone:
            OmegaConf.update(config, f"model.backbone.{key}", value)
    return model_arguments(config)


def build(*overrides: str, dtype: torch.dtype = torch.float64, **config) -> Potential:
    """A calibrated potential with random weights, e.g. build("model=baseline", envelope="cosine").

    config: arguments of `small_config`.
    """
    torch.manual_seed(0)
    arguments = small_config(*overrides, **config)
    potential = instantiate(arguments).double().eval().requires_grad_(False)
    for parameter in potential.parameters():
        if parameter.ndim > 1:
            parameter *= 2  # fresh weights hardly make any force
    potential.calibrate(STATISTICS)
    return potential.to(dtype)


@cache
def block_arguments(group: str, name: str) -> dict:
    """The YAML of a block, its interpolations resolved in the default model."""
    config = composed(CONF, (f"model={BASE_MODEL}",)).copy()
    config.model[group] = OmegaConf.load(CONF / "model" / group / f"{name}.yaml")
    return OmegaConf.to_container(config.model[group], resolve=True)


def build_block(group: str, name: str, **changes):
    """One block as its YAML describes it, in float64, with some of its arguments changed if it has them."""
    arguments = block_arguments(group, name)
    arguments = arguments | {key: value for key, value in changes.items() if key in arguments}
    torch.manual_seed(0)
    block = instantiate(arguments)
    return (block() if arguments.get("_partial_") else block).double()


@pytest.fixture(params=MODELS)
def potential(request) -> Potential:
    """Every architecture of conf/model."""
    return build(f"model={request.param}")


@pytest.fixture(params=BLOCKS, ids=BLOCK_IDS)
def block_potential(request) -> Potential:
    """The default architecture with one block exchanged, for every block there is."""
    group, name = request.param
    return build(f"model={BASE_MODEL}", **{group: name})


# Structures: no two distances of a centre are equal, unless the name says so


def ethanol() -> Structure:
    """A molecule far from any symmetry."""
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.1, seed=3)
    return from_atoms(atoms)


def crystal() -> Structure:
    """A rattled cubic cell, shorter than the cutoff: one pair has several images, atoms see their own images."""
    atoms = bulk("Cu", "fcc", a=3.7, cubic=True)
    atoms.symbols[2:] = "Au"
    atoms.rattle(0.12, seed=5)
    return from_atoms(atoms)


def skewed() -> Structure:
    """A triclinic cell with an atom outside of it."""
    cell = [[3.3, 0.0, 0.0], [1.7, 3.1, 0.0], [-0.9, 1.1, 3.6]]
    return from_atoms(ase.Atoms("NaCl", [[0.2, 0.1, -0.3], [5.8, 2.3, 1.9]], cell=cell, pbc=True))


def slab() -> Structure:
    """Periodic in two directions only, without a third cell vector."""
    positions = [[0.1, 0.0, 0.0], [1.5, 0.9, 0.3], [2.6, 2.2, -0.4]]
    return from_atoms(ase.Atoms("CON", positions, cell=[3.4, 3.9, 0.0], pbc=(True, True, False)))


def isolated() -> Structure:
    """One atom."""
    return from_atoms(ase.Atoms("O"))


def far_atoms() -> Structure:
    """Two atoms out of each other's reach."""
    return from_atoms(ase.Atoms("OH", [[0.0, 0.0, 0.0], [0.0, 0.0, 50.0]]))


def cage() -> Structure:
    """An atom at the centre of C60: sixty equal distances."""
    return from_atoms(molecule("C60") + ase.Atoms("N"))


def overtaking(distances: np.ndarray) -> list[Structure]:
    """One atom of seven at `distances` (n_points,), Å, of a centre: between 1.2 and 3.6 Å it overtakes five others."""
    return [around_centre([1.5, 2.0, 2.4, 3.1, 3.3], distance) for distance in distances]


def leaving(distances: np.ndarray) -> list[Structure]:
    """As `overtaking`, with two atoms that stay just within a cutoff of 6 Å; at 6 Å the moving atom crosses it."""
    return [around_centre([1.5, 2.0, 2.4, 5.6, 5.8], distance) for distance in distances]


def around_centre(radii: list[float], distance: float) -> Structure:
    """Five neighbours of a centre on a cone and a sixth at a distance (Å) on its axis, nearly."""
    angles = np.array([0.3, 1.4, 2.9, 4.0, 5.1])
    directions = np.column_stack([np.cos(angles), np.sin(angles), np.full(5, 0.4)]) / np.sqrt(1.16)
    axis = np.array([0.1, 0.2, -1.0]) / np.sqrt(1.05)
    return from_atoms(ase.Atoms("CHHOHNO", [[0, 0, 0], *(directions * np.array(radii)[:, None]), distance * axis]))


GENERIC = [ethanol, crystal, skewed, slab]
SYMMETRIC = {name: from_atoms(molecule(name)) for name in ("CO2", "CH4", "C6H6", "N2")}


def moved(structure: Structure, positions: np.ndarray) -> Structure:
    """The structure with other positions (n_atoms, 3), Å."""
    return replace(structure, positions=np.asarray(positions, dtype=np.float64))


def deformed(structure: Structure, deformation: np.ndarray) -> Structure:
    """Positions and cell times (3, 3)."""
    return replace(moved(structure, structure.positions @ deformation), cell=structure.cell @ deformation)


# Measurements


def predict(potential: Potential, structures: Structure | Sequence[Structure], stress: bool = False) -> Prediction:
    """What the potential says of one structure or a batch."""
    structures = [structures] if isinstance(structures, Structure) else structures
    graph = batch_structures(structures, potential.cutoff, potential.dtype)
    with torch.no_grad():
        return potential(graph, stress=stress)


def numerical_forces(potential: Potential, structure: Structure, step: float = 1e-4) -> np.ndarray:
    """(n_atoms, 3) eV/Å, by central differences of fourth order of the energy alone."""
    offsets = np.eye(structure.positions.size).reshape(-1, *structure.positions.shape)
    images = [moved(structure, structure.positions + t * step * o) for t in (-2, -1, 1, 2) for o in offsets]
    return -stencil(potential, images, step).reshape(structure.positions.shape)


def numerical_stress(potential: Potential, structure: Structure, step: float = 1e-4) -> np.ndarray:
    """(3, 3) eV/Å^3, by straining cell and positions."""
    units = np.eye(9).reshape(9, 3, 3)
    strains = (units + units.transpose(0, 2, 1)) / 2
    images = [deformed(structure, np.eye(3) + t * step * s) for t in (-2, -1, 1, 2) for s in strains]
    return stencil(potential, images, step).reshape(3, 3) / abs(np.linalg.det(structure.cell))


def stencil(potential: Potential, images: list[Structure], step: float) -> np.ndarray:
    """Derivatives of the energy from images at -2, -1, 1 and 2 steps."""
    far_back, back, front, far_front = predict(potential, images).energy.numpy().reshape(4, -1)
    return (8 * (front - back) - (far_front - far_back)) / (12 * step)


def limiting_jump(
    values: Callable[[np.ndarray], np.ndarray],
    start: float,
    stop: float,
    n_points: int = 200,
    width: float = 1e-10,
) -> float:
    """Largest change of `values` (n_points,) -> (n_points x anything) that remains when the step shrinks to `width`.

    Intervals that depart most from their neighbours' slopes are divided again and again: many at first, since steep
    but smooth ones look like jumps until they are divided, one in the end.
    """
    grids, n_followed = [np.linspace(start, stop, n_points)], 10
    while True:
        points = np.concatenate(grids)
        results = np.split(values(points).reshape(len(points), -1), len(grids))
        changes = [np.diff(result, axis=0) for result in results]
        if grids[0][1] - grids[0][0] <= width:
            return float(max(np.abs(change).max() for change in changes))
        found = []
        for grid, change in zip(grids, changes, strict=True):
            departure = np.abs(change[1:-1] - (change[:-2] + change[2:]) / 2).max(axis=1)
            found += [(d, grid[i], grid[i + 3]) for i, d in enumerate(departure)]
        worst = sorted(found, reverse=True)[:n_followed]
        grids, n_followed = [np.linspace(first, last, 13) for _, first, last in worst], 1


def potential_jumps(
    potential: Potential, structures: Callable[[np.ndarray], list[Structure]], interval: tuple[float, float]
) -> tuple[float, float]:
    """Limiting jumps of energy (eV) and forces (eV/Å) along a path."""

    predicted = cache(lambda points: predict(potential, structures(np.array(points))))  # both begin on one grid
    return (
        limiting_jump(lambda points: predicted(tuple(points)).energy.numpy(), *interval),
        limiting_jump(lambda points: predicted(tuple(points)).forces.numpy(), *interval),
    )
