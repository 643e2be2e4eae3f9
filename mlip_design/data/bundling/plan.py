"""What the bundled set holds: how much of everything, and which molecule and frame goes where."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from mlip_design.data.bundling.frames import COLUMNS, Arrays
from mlip_design.data.molecules import BOND_TYPES, Molecule, choose, choose_scans

SETS = ("train", "val_known", "test_known", "val_new", "test_new")


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


def seed_of(*parts: object) -> int:
    """A seed that depends on its arguments only."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4])


def assign(pool: list[Molecule], plan: Plan) -> dict[str, list[Molecule]]:
    """Molecules of `train`, `val_new`, `test_new` and, by bond type, the scans; none serves twice."""
    rng = np.random.default_rng(seed_of(plan.seed, "assign"))
    scans = choose_scans(pool, plan.bond_types, plan.scans_val + plan.scans_test + plan.scans_spare, rng)
    taken = {m.smiles for molecules in scans.values() for m in molecules}
    rest = [m for m in pool if m.smiles not in taken]
    new = choose(rest, 2 * plan.new_molecules, rng)
    known = choose([m for m in rest if m not in new], plan.train_molecules, rng)
    return scans | {"train": known, "val_new": new[::2], "test_new": new[1::2]}


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
