"""A small scan on disk in the published layout, for the tests of reading it."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlip_design.bsct import Scan

HEADER = 'Properties=species:S:1:pos:R:3:forces:R:3 bond={bond} smiles="[C]#N" energy={energy} pbc="F F F"'


@dataclass
class System:
    """A three-atom molecule stretched along x, in the published layout."""

    bond: str = "C-N"
    system_id: str = "1"
    count: int = 5
    first: float = 0.7
    last: float = 1.5
    symbols: tuple[str, ...] = ("C", "N", "H")
    energies: list[float] = field(default_factory=lambda: [3.0, 1.0, 0.5, 1.5, 2.0])

    @property
    def lengths(self) -> np.ndarray:
        return np.linspace(self.first, self.last, self.count)

    def positions(self) -> np.ndarray:
        positions = np.zeros((self.count, 3, 3))
        positions[:, 1, 0] = self.lengths
        positions[:, 2, 1] = -1.1
        return positions

    def forces(self) -> np.ndarray:
        return np.round(np.sin(np.arange(self.count * 9.0)).reshape(self.count, 3, 3), 8)

    def write(self, root: Path) -> Path:
        folder = root / self.bond / self.system_id
        folder.mkdir(parents=True)
        for i, (positions, forces) in enumerate(zip(self.positions(), self.forces(), strict=True)):
            rows = [
                f"{symbol} " + " ".join(f"{x:.8f}" for x in (*p, *f))
                for symbol, p, f in zip(self.symbols, positions, forces, strict=True)
            ]
            header = HEADER.format(bond=self.bond, energy=self.energies[i])
            (folder / f"atoms_{i}.xyz").write_text("\n".join([str(len(rows)), header, *rows]) + "\n")
        shutil.copy(folder / "atoms_0.xyz", folder / "unperturbed.xyz")
        write_partition(folder, self)
        return folder


def write_partition(folder: Path, system: System, **changes) -> None:
    """`partition.npz` of a system, with values replaced, or left out where None is given."""
    values = {
        "bond": system.bond,
        "bond_index": np.array([0, 1]),
        "labels": np.array([0, 1, 0], dtype=np.int32),
        "unit_vec": np.array([1.0, 0.0, 0.0]),
        "perturb_range": np.array([system.first, system.last, system.count]),
        "rotation": "0x,0y,0z",
    } | changes
    np.savez(folder / "partition.npz", **{key: value for key, value in values.items() if value is not None})


def write_set(root: Path) -> Path:
    """Three bond types with 4, 2 and 1 systems."""
    for bond, ids in {"C-N": "1234", "C-C": "12", "O-P": "9"}.items():
        for system_id in ids:
            System(bond, system_id).write(root)
    return root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def same(one: Scan, other: Scan) -> bool:
    arrays = ("numbers", "lengths", "positions", "energies", "forces", "bond_index")
    return one.name == other.name and all(np.array_equal(getattr(one, a), getattr(other, a)) for a in arrays)
