"""Where the splits of a run come from: the bundled set, files, a store, or BSCT scans. One function each."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from mlip_design.bsct.runner import structures_of
from mlip_design.bsct.scans import Scan, load_scans
from mlip_design.data.bundled import bundled_path
from mlip_design.data.dataset import StructureDataset
from mlip_design.data.store import open_store
from mlip_design.structures import Structure, StructureError, read_structures

BUNDLED_FILES = {
    "train": "train",
    "val": "val_known",
    "val_new": "val_new",
    "test": "test_known",
    "test_new": "test_new",
}


def bundled() -> dict[str, StructureDataset]:
    """The GFN2-xTB set of the package; `val_new` and `test_new` hold molecules that training never sees."""
    return {
        split: StructureDataset(read_structures(bundled_path(f"{file}.xyz.xz")))
        for split, file in BUNDLED_FILES.items()
    }


def from_files(
    train: str,
    val: str | float,
    test: str | float | None,
    energy_key: str,
    forces_key: str,
    stress_key: str,
    seed: int,
) -> dict[str, StructureDataset]:
    """Splits from files that ASE reads.

    val, test: a file, or the fraction of `train` to set aside (drawn with `seed`); test may be None.
    *_key: names of the labels in the files (eV, eV/Å, eV/Å^3).
    """

    def read(path: str) -> StructureDataset:
        return StructureDataset(read_structures(path, energy_key, forces_key, stress_key))

    whole = read(train)
    wanted = {"val": val, "test": test}
    fractions = {name: value for name, value in wanted.items() if isinstance(value, int | float)}
    check_fractions("data", fractions)
    parts = split_at_random(len(whole), fractions, seed)
    splits = {"train": whole.subset(parts["train"]) if fractions else whole}
    for name, value in wanted.items():
        if value is not None:
            splits[name] = whole.subset(parts[name]) if name in fractions else read(str(value))
    return splits


def from_store(
    path: str, val: str | float, test: str | float | None, seed: int, limit: int | None
) -> dict[str, StructureDataset]:
    """Splits from a store that `mlip-design data prepare` wrote; its groups, such as molecules, are never torn apart.

    val, test: another store, or the fraction of the structures to set aside (drawn with `seed`); test may be None.
    limit: so many structures at most for training, drawn with `seed`; None for all.
    """
    whole = StructureDataset(open_store(path))
    wanted = {"val": val, "test": test}
    fractions = {name: value for name, value in wanted.items() if isinstance(value, int | float)}
    check_fractions("data", fractions)
    parts = split_by_group(whole.packed.groups, fractions, seed)
    if limit is not None:
        if limit < 1:
            raise StructureError(f"data.limit: {limit} is not at least 1")
        parts["train"] = np.sort(np.random.default_rng([seed, 1]).permutation(parts["train"])[:limit])
    splits = {"train": whole.subset(parts["train"])}
    for name, value in wanted.items():
        if value is not None:
            is_part = name in fractions
            splits[name] = whole.subset(parts[name]) if is_part else StructureDataset(open_store(str(value)))
    return splits


def from_scans(root: str, val: float, test: float, seed: int, stride: int) -> dict[str, StructureDataset]:
    """Frames of the scans below `root` (published layout), split by system: fractions `val` and `test` of them.

    stride: every stride-th frame is taken; neighbouring frames of a scan are much alike.
    """
    parts = split_scans(load_scans(root, progress=True), val, test, seed)
    return {name: StructureDataset(frames(scans, stride)) for name, scans in parts.items()}


def scans_of_split(root: str, split: str, val: float, test: float, seed: int) -> list[Scan]:
    """The scans of one split ('train', 'val' or 'test') of `from_scans` with the same arguments."""
    return split_scans(load_scans(root), val, test, seed)[split]


def split_scans(scans: Sequence[Scan], val: float, test: float, seed: int) -> dict[str, list[Scan]]:
    """Scans by split; every bond type is split in the same proportions, and a system is in one split only."""
    check_fractions("data", {"val": val, "test": test})
    parts: dict[str, list[Scan]] = {"train": [], "val": [], "test": []}
    for bond in sorted({scan.bond for scan in scans}):
        of_bond = [scan for scan in scans if scan.bond == bond]
        for name, indices in split_at_random(len(of_bond), {"val": val, "test": test}, seed).items():
            parts[name].extend(of_bond[i] for i in indices)
    return parts


def frames(scans: Sequence[Scan], stride: int) -> Iterator[Structure]:
    """Every stride-th kept frame of every scan as a labelled structure."""
    for scan in scans:
        structures = structures_of(scan.numbers, scan.positions, scan.cells)
        stresses = [None] * len(structures) if scan.stresses is None else scan.stresses
        chosen = (values[::stride] for values in (structures, scan.energies, scan.forces, stresses))
        for structure, energy, forces, stress in zip(*chosen, strict=True):
            yield replace(structure, energy=float(energy), forces=forces, stress=stress)


def check_fractions(where: str, fractions: dict[str, float]) -> None:
    """Raise StructureError unless every fraction is in (0, 1) and something is left to train on."""
    for name, value in fractions.items():
        if not 0 < value < 1:
            raise StructureError(f"{where}.{name}: {value} is neither a file nor a fraction between 0 and 1")
    if sum(fractions.values()) >= 1:
        raise StructureError(
            f"{where}: the fractions {fractions} leave nothing to train on; their sum must be below 1"
        )


def split_at_random(count: int, fractions: dict[str, float], seed: int) -> dict[str, np.ndarray]:
    """Ascending index arrays: the named fractions of range(count), rounded to the nearest, and the rest as 'train'."""
    order = np.random.default_rng(seed).permutation(count)
    parts, start = {}, 0
    for name, fraction in fractions.items():
        size = round(fraction * count)
        parts[name] = np.sort(order[start : start + size])
        start += size
    return {"train": np.sort(order[start:]), **parts}


def split_by_group(groups: np.ndarray, fractions: dict[str, float], seed: int) -> dict[str, np.ndarray]:
    """As `split_at_random`, of whole groups; groups: (n_structures,) int64, from 0.

    Groups are drawn at random until a split is nearest to its fraction of the structures.
    """
    counts = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(counts))
    filled = np.concatenate([[0], np.cumsum(counts[order])])  # structures in the first so many groups drawn
    owner, start = np.full(len(counts), -1), 0
    for number, fraction in enumerate(fractions.values()):
        end = int(np.abs(filled - filled[start] - fraction * len(groups)).argmin())
        owner[order[start:end]] = number
        start = max(start, end)
    split = owner[groups]
    parts = {name: np.flatnonzero(split == number) for number, name in enumerate(fractions)}
    return {"train": np.flatnonzero(split == -1), **parts}
