"""One molecule of the bundled set: label, relax, sample, scan with GFN2-xTB. Units: eV, Å, fs, K."""

import json
from collections import Counter
from collections.abc import Iterable

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import CalculatorError
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary, ZeroRotation
from ase.optimize import BFGS

from mlip_design.bsct.building.bonds import stretch
from mlip_design.data.molecules import Molecule, bond_range, conformer, describe, intact

MAX_FORCE = 60.0  # eV/Å, largest force component of a frame outside the scans
RELAXED_FORCE = 0.01  # eV/Å
SCAN_FRAMES = 100
SCAN_TEMPERATURE = 500  # K
NEAR = 0.2  # Å, half width of the dense part of the bond length distribution
TIME_STEP, FRICTION = 1.0, 0.03  # fs, 1/fs
WARM_UP, SPACING = 120, 40  # steps before the first snapshot and between snapshots
HEAVY_SHARE = 0.8  # share of bond frames on heavy-heavy bonds where a molecule has one
LABEL = {"method": "GFN2-xTB", "accuracy": 0.01, "electronic_temperature": 300.0, "verbosity": 0}

COLUMNS = ("config_types", "positions", "energies", "forces")  # of labelled frames; first axis n_frames
CONSTANTS = (LABEL, MAX_FORCE, NEAR, TIME_STEP, FRICTION, WARM_UP, SPACING, HEAVY_SHARE, SCAN_TEMPERATURE)

Arrays = dict[str, np.ndarray]


def calculator(**changes: object):
    from tblite.ase import TBLite

    return TBLite(**(LABEL | changes))


def label(numbers: Iterable[int], positions: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Å, (n_atoms, 3)) at positions (Å); NaN where there is no convergence."""
    atoms = Atoms(numbers=numbers, positions=positions, calculator=calculator())
    try:
        return round(atoms.get_potential_energy(), 6), atoms.get_forces().round(4)
    except CalculatorError:
        return np.nan, np.full(positions.shape, np.nan)


def relax(smiles: str, seed: int) -> Arrays:
    """Relaxed positions (Å, (n_atoms, 3), rounded to 1e-4) of a SMILES, or the reason why there are none."""
    molecule = describe(smiles)
    positions = conformer(smiles, seed)
    if positions is None:
        return {"reason": np.array("no conformer")}
    atoms = Atoms(numbers=molecule.numbers, positions=positions, calculator=calculator())
    try:
        converged = BFGS(atoms, logfile=None).run(fmax=RELAXED_FORCE, steps=400)
    except CalculatorError:
        return {"reason": np.array("relaxation: no SCF convergence")}
    if not converged:
        return {"reason": np.array("relaxation: not converged")}
    if not intact(molecule, atoms.positions, 1.3, 1.2):
        return {"reason": np.array("relaxation: bonds changed")}
    return {"reason": np.array(""), "positions": atoms.positions.round(4)}


def thermal(
    molecule: Molecule, relaxed: np.ndarray, temperature: float, count: int, rng: np.random.Generator
) -> tuple[list[np.ndarray], Counter]:
    """`count` snapshots (Å) of Langevin dynamics, less those dropped; a broken molecule starts afresh."""
    atoms = Atoms(numbers=molecule.numbers, positions=relaxed, calculator=calculator(accuracy=1.0))
    snapshots, dropped, fresh = [], Counter(), True
    for _ in range(count):
        if fresh:
            atoms.positions = relaxed
            MaxwellBoltzmannDistribution(atoms, temperature_K=2 * temperature, rng=rng)
            Stationary(atoms)
            ZeroRotation(atoms)
        bath = {"temperature_K": temperature, "friction": FRICTION / units.fs, "fixcm": False, "rng": rng}
        dynamics = Langevin(atoms, TIME_STEP * units.fs, **bath)
        try:
            dynamics.run(WARM_UP if fresh else SPACING)
            fault = "" if intact(molecule, atoms.positions, 1.5, 1.0) else "thermal: bonds changed"
        except CalculatorError:
            fault = "thermal: no SCF convergence"
        fresh = bool(fault)
        if fresh:
            dropped[fault] += 1
        else:
            snapshots.append(atoms.positions - atoms.positions.mean(axis=0))
    return snapshots, dropped


def bond_frame(molecule: Molecule, positions: np.ndarray, near: bool, rng: np.random.Generator) -> np.ndarray:
    """One frame with a random acyclic bond stretched or compressed."""
    heavy = [bond for bond in molecule.acyclic if "H" not in (molecule.symbols[atom] for atom in bond)]
    use_heavy = heavy and (len(heavy) == len(molecule.acyclic) or rng.random() < HEAVY_SHARE)
    choices = heavy if use_heavy else [bond for bond in molecule.acyclic if bond not in heavy]
    bond = choices[rng.integers(len(choices))]
    now = np.linalg.norm(positions[bond[1]] - positions[bond[0]])
    length = rng.uniform(now - NEAR, now + NEAR) if near else rng.uniform(*bond_range(molecule, bond))
    return stretch(positions, bond, molecule.fragment(bond), length)


def sample(
    smiles: str, relaxed: np.ndarray, counts: dict[int, int], n_bond: int, with_relaxed: bool, seed: int
) -> Arrays:
    """Frames of one molecule: `config_types`, `positions`, `energies`, `forces`, and `dropped` as JSON."""
    molecule, rng, dropped = describe(smiles), np.random.default_rng(seed), Counter()
    frames = [("relaxed", relaxed)] if with_relaxed else []
    warm = []
    for temperature, count in counts.items():
        snapshots, lost = thermal(molecule, relaxed, temperature, count, rng)
        frames += [(f"md_{temperature}K", positions) for positions in snapshots]
        warm += snapshots if temperature <= 600 else []
        dropped += lost
    for index in range(n_bond if molecule.acyclic else 0):
        from_warm, near = bool(warm) and index % 2 == 1, rng.random() < 0.5
        start = warm[rng.integers(len(warm))] if from_warm else relaxed
        name = "bond_scan_md" if from_warm else "bond_scan"
        frames.append((name, bond_frame(molecule, start, near, rng)))
    return labelled(molecule, frames, dropped)


def labelled(molecule: Molecule, frames: list[tuple[str, np.ndarray]], dropped: Counter) -> Arrays:
    """Round, label and filter frames."""
    kept = []
    for config_type, positions in frames:
        positions = positions.round(4)
        energy, forces = label(molecule.numbers, positions)
        if not np.isfinite(energy):
            dropped["no SCF convergence"] += 1
        elif not np.abs(forces).max() <= MAX_FORCE:
            dropped[f"force component above {MAX_FORCE:g} eV/Å"] += 1
        else:
            kept.append((config_type, positions, energy, forces))
    columns = zip(*kept, strict=True) if kept else [()] * len(COLUMNS)
    return dict(zip(COLUMNS, map(np.array, columns), strict=True)) | {"dropped": np.array(json.dumps(dropped))}


def scan(smiles: str, relaxed: np.ndarray, bond_type: str, seed: int) -> Arrays:
    """`bond`, `positions`, `energies`, `forces` of a scan, its start as frame -1; `reason` not to use it."""
    molecule, rng = describe(smiles), np.random.default_rng(seed)
    snapshots, _ = thermal(molecule, relaxed, SCAN_TEMPERATURE, 1, rng)
    if not snapshots:
        return {"reason": np.array("scan: bonds changed at the start")}
    start = snapshots[0].round(5)
    choices = molecule.scannable(bond_type)
    bond = choices[rng.integers(len(choices))]
    lengths, labels = np.linspace(*bond_range(molecule, bond), SCAN_FRAMES), molecule.fragment(bond)
    steps = [(stretch(start, bond, labels, length) - start).round(5) for length in lengths]
    positions = np.array([start + step for step in steps] + [start])
    energies, forces = map(np.array, zip(*(label(molecule.numbers, x) for x in positions), strict=True))
    return {
        "reason": np.array(scan_fault(energies, forces)),
        "bond": np.array(bond),
        "positions": positions,
        "energies": energies,
        "forces": forces,
    }


def scan_fault(energies: np.ndarray, forces: np.ndarray) -> str:
    """Why a scan must not serve as a reference; empty where it may.

    A force that jumps (the calculation changes its electronic state) shows as a step far above both
    neighbouring steps.
    """
    if not np.isfinite(energies).all():
        return "scan: no SCF convergence"
    steps = np.abs(np.diff(forces[:SCAN_FRAMES], axis=0)).max(axis=(1, 2))
    around = np.maximum(steps[:-2], steps[2:])
    return "scan: forces jump" if (steps[1:-1] > 3 * around + 0.5).any() else ""
