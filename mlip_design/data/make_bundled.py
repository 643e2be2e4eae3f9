"""Generator of the bundled set: small molecules of H C N O F P S Cl with GFN2-xTB energies and forces.

Stages, each resumable from the work folder; one seed per molecule and purpose, derived from `Plan.seed`:
1. relax every candidate (`molecules.candidates`) from an ETKDG conformer; keep those whose bonds survive it;
2. choose molecules: scans first (rarest bond type first), then two sets of new molecules, then training;
3. sample: the relaxed structure; thermal frames from Langevin dynamics; bond frames, where the two sides of
   an acyclic bond move apart or together by equal amounts, from relaxed and from 300-600 K structures, about
   half of them within 0.2 Å of the starting length, the others uniform in 0.5 to 2 times the radii sum;
4. scans: 100 equally spaced bond lengths in that range, from a 500 K structure (the published scans start
   from structures with a median largest force component of 2.5 eV/Å, which is what 500 K gives);
5. write extended XYZ, tar archives in the published BSCT layout, and `manifest.json`.

Labels: GFN2-xTB at the positions as stored (1e-4 Å; scans 1e-5 Å), 300 K electronic temperature, neutral,
closed shell, each from a fresh start so that a label depends on its frame only. Energies in eV to 1e-6,
forces in eV/Å to 1e-4. Left out and counted: frames whose calculation does not converge, frames with a
force component above `MAX_FORCE`, thermal frames with a broken or new bond. Scans keep every frame; a
molecule whose scan does not converge, or whose forces jump, gives its place to a spare one.

Units: eV, Å, fs, K. Needs RDKit and tblite (extra `xtb`).
"""

import hashlib
import importlib.metadata
import io
import json
import lzma
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import CalculatorError
from ase.data import chemical_symbols
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary, ZeroRotation
from ase.optimize import BFGS
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from mlip_design.data.molecules import (
    BOND_TYPES,
    Molecule,
    bond_range,
    candidates,
    choose,
    choose_scans,
    conformer,
    describe,
    intact,
    move_apart,
)

MAX_FORCE = 60.0  # eV/Å, largest force component of a frame outside the scans
RELAXED_FORCE = 0.01  # eV/Å
SCAN_FRAMES = 100
SCAN_TEMPERATURE = 500  # K
NEAR = 0.2  # Å, half width of the dense part of the bond length distribution
TIME_STEP, FRICTION = 1.0, 0.03  # fs, 1/fs
WARM_UP, SPACING = 120, 40  # steps before the first snapshot and between snapshots
HEAVY_SHARE = 0.8  # share of bond frames on heavy-heavy bonds where a molecule has one
SETS = ("train", "val_known", "test_known", "val_new", "test_new")
LABEL = {"method": "GFN2-xTB", "accuracy": 0.01, "electronic_temperature": 300.0, "verbosity": 0}

COLUMNS = ("config_types", "positions", "energies", "forces")  # of labelled frames; first axis n_frames
CONSTANTS = (LABEL, MAX_FORCE, NEAR, TIME_STEP, FRICTION, WARM_UP, SPACING, HEAVY_SHARE, SCAN_TEMPERATURE)

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Plan:
    """How much of everything; counts are per molecule unless they name molecules or scans."""

    seed: int = 0
    train_molecules: int = 200
    new_molecules: int = 20  # each of validation and test
    train_thermal: dict[int, int] = field(default_factory=lambda: {300: 5, 600: 6, 1000: 5, 1500: 5})  # by K
    train_bond: int = 22
    known_bond: int = 2  # beside two thermal frames; half to validation, half to test
    new_thermal: dict[int, int] = field(default_factory=lambda: {300: 3, 600: 3, 1000: 2, 1500: 2})
    new_bond: int = 9
    bond_types: tuple[str, ...] = BOND_TYPES
    scans_val: int = 3  # per bond type
    scans_test: int = 2
    scans_spare: int = 2


# One molecule: label, relax, sample, scan


def seed_of(*parts: object) -> int:
    """A seed that depends on its arguments only."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4])


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
    return move_apart(molecule, positions, bond, length)


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
    lengths = np.linspace(*bond_range(molecule, bond), SCAN_FRAMES)
    steps = [(move_apart(molecule, start, bond, length) - start).round(5) for length in lengths]
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


# All molecules


def run_job(job: tuple[Callable, tuple, Path]) -> Path:
    """Compute one result unless it is there already, and return its file."""
    function, arguments, path = job
    if not path.exists():
        result = function(*arguments)
        partial = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, **result)
        partial.replace(path)
    return path


@contextmanager
def workers(n_jobs: int) -> Iterator[Pool]:
    """A pool of processes of one thread each: results do not depend on how many there are."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        with get_context("spawn").Pool(n_jobs) as pool:
            yield pool
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def run_all(pool: Pool, work: Path, function: Callable, arguments: list[tuple]) -> list[Arrays]:
    """`function(*arguments)` for each entry, in order; what the work folder holds is read, not recomputed."""
    folder = work / function.__name__
    folder.mkdir(parents=True, exist_ok=True)

    def key(args: tuple) -> str:
        plain = [value.tolist() if isinstance(value, np.ndarray) else value for value in args]
        return hashlib.sha256(repr((plain, CONSTANTS)).encode()).hexdigest()[:20]

    jobs = [(function, args, folder / f"{key(args)}.npz") for args in arguments]
    bar = {"total": len(jobs), "desc": f"{function.__name__:>6}", "unit": "molecule", "mininterval": 1}
    done = list(tqdm(pool.imap(run_job, jobs), **bar))
    results = []
    for path in done:
        with np.load(path) as arrays:
            results.append(dict(arrays))
    return results


def assign(pool: list[Molecule], plan: Plan) -> dict[str, list[Molecule]]:
    """Molecules of `train`, `val_new`, `test_new` and, by bond type, the scans; none serves twice."""
    rng = np.random.default_rng(seed_of(plan.seed, "assign"))
    scans = choose_scans(pool, plan.bond_types, plan.scans_val + plan.scans_test + plan.scans_spare, rng)
    taken = {m.smiles for molecules in scans.values() for m in molecules}
    rest = [m for m in pool if m.smiles not in taken]
    new = choose(rest, 2 * plan.new_molecules, rng)
    known = choose([m for m in rest if m not in new], plan.train_molecules, rng)
    return scans | {"train": known, "val_new": new[::2], "test_new": new[1::2]}


def make_bundled(out: Path, work: Path, plan: Plan, n_jobs: int, smiles: list[str] | None = None) -> dict:
    """Generate the set into `out`, which must be new or empty, and return its manifest."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"output folder {out} is not empty; name a new one")
    smiles = candidates() if smiles is None else smiles
    with workers(n_jobs) as pool:
        run = partial(run_all, pool, work)
        shapes = run(relax, [(s, seed_of(plan.seed, "relax", s)) for s in smiles])
        relaxed = {s: r["positions"] for s, r in zip(smiles, shapes, strict=True) if "positions" in r}
        molecules = assign([describe(s) for s in relaxed], plan)
        scan_jobs = plan_scans(molecules, relaxed, plan)
        scans = run(scan, scan_jobs)
        sample_jobs = plan_samples(molecules, relaxed, plan)
        samples = run(sample, [job for _, job in sample_jobs])

    dropped = Counter(str(r["reason"]) for r in shapes + scans if str(r["reason"]))
    for result in samples:
        dropped.update(json.loads(str(result["dropped"])))
    frames = split_samples(sample_jobs, samples, dropped)
    return write_set(out, plan, frames, split_scans(scan_jobs, scans, plan), dropped)


def plan_scans(molecules: dict[str, list[Molecule]], relaxed: dict[str, np.ndarray], plan: Plan) -> list[tuple]:
    """Arguments of `scan`, by bond type."""
    return [
        (m.smiles, relaxed[m.smiles], kind, seed_of(plan.seed, "scan", m.smiles))
        for kind in plan.bond_types
        for m in molecules[kind]
    ]


def split_scans(jobs: list[tuple], results: list[Arrays], plan: Plan) -> dict[str, list[tuple[str, str, Arrays]]]:
    """(bond type, SMILES, arrays) of validation and test scans: the first usable ones of each type."""
    wanted = plan.scans_val + plan.scans_test
    split: dict[str, list] = {"val": [], "test": []}
    for kind in plan.bond_types:
        pairs = [(job, result) for job, result in zip(jobs, results, strict=True) if job[2] == kind]
        good = [(kind, job[0], result) for job, result in pairs if not str(result["reason"])]
        if len(good) < wanted:
            raise ValueError(f"{wanted} scans wanted for {kind}, {len(good)} are usable; raise scans_spare")
        split["val"] += good[: plan.scans_val]
        split["test"] += good[plan.scans_val : wanted]
    return split


def plan_samples(
    molecules: dict[str, list[Molecule]], relaxed: dict[str, np.ndarray], plan: Plan
) -> list[tuple[str, tuple]]:
    """(purpose, arguments of `sample`); a purpose is a set, or "known": validation and test of `train`."""
    jobs = []

    def add(purpose: str, smiles: str, *rest: object) -> None:
        jobs.append((purpose, (smiles, relaxed[smiles], *rest, seed_of(plan.seed, purpose, smiles))))

    for m in molecules["train"]:
        other = (300, 1000, 1500)[seed_of(plan.seed, m.smiles) % 3]
        add("train", m.smiles, plan.train_thermal, plan.train_bond, True)
        add("known", m.smiles, {600: 1, other: 1}, plan.known_bond, False)
    for purpose in ("val_new", "test_new"):
        for m in molecules[purpose]:
            add(purpose, m.smiles, plan.new_thermal, plan.new_bond, True)
    return jobs


def split_samples(
    jobs: list[tuple[str, tuple]], results: list[Arrays], dropped: Counter
) -> dict[str, list[tuple[str, Arrays]]]:
    """(SMILES, labelled frames) of each of the five sets; no frame twice, no molecule without a frame."""
    frames: dict[str, list[tuple[str, Arrays]]] = {name: [] for name in SETS}
    seen: set[bytes] = set()
    for number, ((purpose, job), result) in enumerate(zip(jobs, results, strict=True)):
        shares = {purpose: slice(None)}
        if purpose == "known":
            # Even and odd frames change sides from molecule to molecule, so that both sets see every kind.
            turn = number // 2 % 2
            shares = {"val_known": slice(turn, None, 2), "test_known": slice(1 - turn, None, 2)}
        keys = [positions.tobytes() for positions in result["positions"]]
        fresh = [i for i, key in enumerate(keys) if key not in seen and key not in keys[:i]]
        seen.update(keys)
        dropped["frame twice"] += len(keys) - len(fresh)
        for name, share in shares.items():
            part = {column: result[column][fresh][share] for column in COLUMNS}
            if len(part["energies"]):
                frames[name].append((job[0], part))
    return frames


# Files


def extxyz(
    numbers: Iterable[int], positions: np.ndarray, energy: float, forces: np.ndarray, digits: int, **info
) -> str:
    """One frame as extended XYZ: positions (Å, `digits` decimals), forces (eV/Å, 4), energy (eV, 6)."""
    words = [f"{key}={value}" for key, value in info.items()]
    comment = ["Properties=species:S:1:pos:R:3:forces:R:3", *words, f"energy={energy:.6f}", 'pbc="F F F"']
    lines = [str(len(positions)), " ".join(comment)]
    for number, x, f in zip(numbers, positions, forces, strict=True):
        columns = [f"{value:.{digits}f}" for value in x] + [f"{value:.4f}" for value in f]
        lines.append(" ".join([chemical_symbols[number], *columns]))
    return "\n".join(lines) + "\n"


def compress(data: bytes) -> bytes:
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


def frames_file(molecules: list[tuple[str, Arrays]]) -> bytes:
    text = []
    for smiles, arrays in molecules:
        numbers = describe(smiles).numbers
        columns = zip(*(arrays[name] for name in COLUMNS), strict=True)
        for config_type, positions, energy, forces in columns:
            info = {"smiles": f'"{smiles}"', "config_type": config_type}
            text.append(extxyz(numbers, positions, energy, forces, 4, **info))
    return compress("".join(text).encode())


def partition(molecule: Molecule, arrays: Arrays, bond_type: str) -> bytes:
    """`partition.npz` as published: `unit_vec` points from label 0 to 1, `rotation` turns the bond onto x."""
    bond = tuple(int(atom) for atom in arrays["bond"])
    start = arrays["positions"][-1]
    vector = start[bond[1]] - start[bond[0]]
    unit = vector / np.linalg.norm(vector)
    x, y, z = Rotation.align_vectors([[1, 0, 0]], [unit])[0].as_euler("xyz", degrees=True)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        bond=np.array(bond_type),
        bond_index=np.array(bond, dtype=np.int64),
        labels=molecule.fragment(bond),
        perturb_range=np.array([*bond_range(molecule, bond), SCAN_FRAMES], dtype=float),
        rotation=np.array(f"{x:.2f}x,{y:.2f}y,{z:.2f}z"),
        unit_vec=unit,
    )
    return buffer.getvalue()


def scans_file(scans: list[tuple[str, str, Arrays]], first_id: int) -> bytes:
    """Tar archive of scans in the published layout, `<bond>/<system_id>/...`, with fixed metadata."""
    members: dict[str, bytes] = {}
    for system_id, (bond_type, smiles, arrays) in enumerate(scans, start=first_id):
        molecule = describe(smiles)
        folder = f"{bond_type}/{system_id}"
        info = {"id": system_id, "bond": bond_type, "smiles": f'"{smiles}"', "dataset": "bundled"}
        names = [f"atoms_{k}" for k in range(SCAN_FRAMES)] + ["unperturbed"]
        rows = zip(names, arrays["positions"], arrays["energies"], arrays["forces"], strict=True)
        for name, positions, energy, forces in rows:
            text = extxyz(molecule.numbers, positions, energy, forces, 5, **info)
            members[f"{folder}/{name}.xyz"] = text.encode()
        members[f"{folder}/partition.npz"] = partition(molecule, arrays, bond_type)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return compress(buffer.getvalue())


def write_set(out: Path, plan: Plan, frames: dict, scans: dict, dropped: Counter) -> dict:
    """Write the data files and `manifest.json`; returns the manifest."""
    out.mkdir(parents=True, exist_ok=True)
    content = {f"{name}.xyz.xz": frames_file(molecules) for name, molecules in frames.items()}
    content["scans_val.tar.xz"] = scans_file(scans["val"], 1)
    content["scans_test.tar.xz"] = scans_file(scans["test"], 1 + len(scans["val"]))
    counts = {name: sum(len(a["energies"]) for _, a in molecules) for name, molecules in frames.items()}
    manifest = {
        "plan": asdict(plan),
        "label": LABEL,
        "units": {"energy": "eV", "forces": "eV/Å", "positions": "Å"},
        "versions": {name: importlib.metadata.version(name) for name in ("ase", "numpy", "rdkit", "tblite")},
        "frames": counts | {f"scans_{name}": SCAN_FRAMES * len(group) for name, group in scans.items()},
        "molecules": {name: [smiles for smiles, _ in molecules] for name, molecules in frames.items()}
        | {f"scans_{name}": [smiles for _, smiles, _ in group] for name, group in scans.items()},
        "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in content.items()
        },
    }
    for name, data in content.items():
        (out / name).write_bytes(data)
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest
