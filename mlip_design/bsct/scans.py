"""Bond scans: one bond of a molecule stretched and compressed rigidly, with reference energies and forces.

Published layout (arXiv:2602.04861), as a folder or as a tar archive of it:

    <root>/<bond>/<system_id>/atoms_0.xyz ... atoms_<count-1>.xyz   extended XYZ, energy (eV), forces (eV/Å)
    <root>/<bond>/<system_id>/partition.npz                         bond, bond_index, perturb_range, ...

The bond length of frame i is `linspace(first, last, count)[i]` with `perturb_range = (first, last, count)`.
The positions must agree with it to `LENGTH_TOLERANCE`. Frames whose reference energy is NaN are dropped.
`unperturbed.xyz` is part of the layout but carries nothing a scan needs, so it is not read.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ase
import ase.io
import numpy as np
from tqdm import tqdm

from mlip_design.bsct.layout import ScanError, SystemFiles, find_systems, select_systems

LENGTH_TOLERANCE = 1e-4  # Å; coordinates with 8 decimals agree to 2e-8, a frame is about 0.02 Å


@dataclass(frozen=True, eq=False)
class Scan:
    """Reference labels of one molecule along the length of one bond, frames in order of increasing length.

    Attributes:
        bond: bond type, such as "C-N".
        system_id: identifier of the molecule, unique within its bond type.
        numbers: atomic numbers, (n_atoms,), dimensionless.
        lengths: bond lengths, (n_frames,), Å, strictly increasing.
        positions: (n_frames, n_atoms, 3), Å.
        energies: reference energies, (n_frames,), eV.
        forces: reference forces, (n_frames, n_atoms, 3), eV/Å.
        bond_index: the two atoms of the scanned bond, (2,), dimensionless.
    """

    bond: str
    system_id: str
    numbers: np.ndarray
    lengths: np.ndarray
    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    bond_index: np.ndarray

    def __post_init__(self):
        for field in ("numbers", "bond_index"):
            object.__setattr__(self, field, np.asarray(getattr(self, field), dtype=np.int64))
        for field in ("lengths", "positions", "energies", "forces"):
            object.__setattr__(self, field, np.asarray(getattr(self, field), dtype=np.float64))
        frames, atoms = self.lengths.size, self.numbers.size
        vectors = (frames, atoms, 3)
        shapes = {"lengths": (frames,), "numbers": (atoms,), "energies": (frames,), "bond_index": (2,)}
        for field, shape in (shapes | {"positions": vectors, "forces": vectors}).items():
            found = getattr(self, field)
            if found.shape != shape:
                raise ScanError(f"{self.name}: {field} has shape {found.shape}, expected {shape}")
            if not np.isfinite(found).all():
                raise ScanError(f"{self.name}: {field} must be finite")
        if frames < 2 or (np.diff(self.lengths) <= 0).any():
            raise ScanError(f"{self.name}: lengths must be at least 2 and strictly increasing")

    @property
    def name(self) -> str:
        """Bond type and identifier, such as "C-N/25729"."""
        return f"{self.bond}/{self.system_id}"

    @property
    def equilibrium(self) -> int:
        """Index of the frame of lowest reference energy."""
        return int(np.argmin(self.energies))


def load_scans(
    root: str | Path, bonds: Sequence[str] | None = None, limit: int | None = None, progress: bool = False
) -> list[Scan]:
    """Read the scans below `root`, sorted by bond type, then identifier (both as text).

    Args:
        root: folder in the published layout, or a tar archive of one (any compression `tarfile` knows).
        bonds: bond types to keep; all of them when None.
        limit: number of systems to keep, taken in turn from every bond type; all of them when None.
        progress: show a progress bar, if stderr is a terminal.

    Raises:
        ScanError: for anything missing, unreadable or inconsistent; nothing is skipped.
    """
    root = Path(root)
    if limit is not None and limit < 1:
        raise ScanError(f"limit is {limit!r}, expected a positive number of systems or None")
    systems = select_systems(find_systems(root), root, bonds, limit)
    # no bar where nobody sees it move, none left above an error message
    with tqdm(systems, "scans", disable=None if progress else True, leave=False) as bar:
        return [read_system(system) for system in bar]


def read_system(system: SystemFiles) -> Scan:
    """Read and check one system; frames whose reference energy is NaN are dropped."""
    bond_index, lengths = _read_partition(system)
    frames = _read_frames(system, len(lengths))
    numbers, energies = frames[0].numbers, np.array([_energy(frame) for frame in frames])
    kept = np.flatnonzero(~np.isnan(energies))
    if len(kept) < 2:
        raise ScanError(f"{system.location}: {len(kept)} of {len(frames)} frames have an energy, at least 2 must")
    if bond_index.max() >= len(numbers):
        raise ScanError(f"{system.location}/partition.npz: bond_index {bond_index} of {len(numbers)} atoms")

    for frame_index in kept:
        location = f"{system.location}/atoms_{frame_index}.xyz"
        _check_frame(frames[frame_index], location, numbers)
        distance = np.linalg.norm(np.subtract(*frames[frame_index].positions[bond_index]))
        if abs(distance - lengths[frame_index]) > LENGTH_TOLERANCE:
            raise ScanError(
                f"{location}: bond {bond_index} is {distance:.6f} Å long, perturb_range gives "
                f"{lengths[frame_index]:.6f} Å (tolerance {LENGTH_TOLERANCE} Å)"
            )
    return Scan(
        bond=system.bond,
        system_id=system.system_id,
        numbers=numbers,
        lengths=lengths[kept],
        positions=np.array([frames[i].positions for i in kept]),
        energies=energies[kept],
        forces=np.array([frames[i].calc.results["forces"] for i in kept]),
        bond_index=bond_index,
    )


def _read_partition(system: SystemFiles) -> tuple[np.ndarray, np.ndarray]:
    """The two atoms of the bond, (2,), and the bond length of every frame, (n_frames,), Å."""
    location = f"{system.location}/partition.npz"
    if "partition.npz" not in system.readers:
        raise ScanError(f"{location}: missing")
    try:
        content = io.BytesIO(system.readers["partition.npz"]())
        with np.load(content, allow_pickle=False) as archive:
            bond, bond_index, perturb_range = map(archive.get, ("bond", "bond_index", "perturb_range"))
    except Exception as error:  # zip, zlib and NumPy raise many kinds on damaged files
        raise ScanError(f"{location}: unreadable ({error!r})") from error
    if bond is None or bond_index is None or perturb_range is None:
        raise ScanError(f"{location}: expected the keys bond, bond_index and perturb_range")

    if str(bond) != system.bond:
        raise ScanError(f"{location}: bond is {str(bond)!r}, its folder says {system.bond!r}")
    whole = bond_index.shape == (2,) and np.issubdtype(bond_index.dtype, np.integer)
    if not whole or bond_index.min() < 0 or bond_index[0] == bond_index[1]:
        raise ScanError(f"{location}: bond_index is {bond_index}, expected two different atoms")
    if perturb_range.shape != (3,) or perturb_range.dtype.kind not in "iuf":
        raise ScanError(f"{location}: perturb_range is {perturb_range}, expected (first, last, count)")
    first, last, count = perturb_range
    if not (np.isfinite(perturb_range).all() and 0 < first < last and count >= 2 and count == int(count)):
        raise ScanError(f"{location}: perturb_range is {perturb_range}, expected 0 < first < last, count >= 2")
    _check_frame_names(system, int(count))
    return bond_index.astype(np.int64), np.linspace(first, last, int(count))


def _check_frame_names(system: SystemFiles, count: int) -> None:
    """The frame files must be atoms_0.xyz ... atoms_<count-1>.xyz, no fewer and no more."""
    present = {name for name in system.readers if name.startswith("atoms_")}
    allowed = f"perturb_range asks for {count} frames, atoms_0.xyz ... atoms_{count - 1}.xyz"
    missing = next((i for i in range(count) if f"atoms_{i}.xyz" not in present), None)
    if missing is not None:
        raise ScanError(f"{system.location}: atoms_{missing}.xyz is missing; {allowed}, found {len(present)}")
    if len(present) > count:
        extra = min(present - {f"atoms_{i}.xyz" for i in range(count)})
        raise ScanError(f"{system.location}: {extra} is unexpected; {allowed}, found {len(present)}")


def _read_frames(system: SystemFiles, count: int) -> list[ase.Atoms]:
    """Read the frames with one call for all of them, which is four times as fast as one call each."""
    texts = []
    for i in range(count):
        location = f"{system.location}/atoms_{i}.xyz"
        try:
            texts.append(system.readers[f"atoms_{i}.xyz"]().decode().rstrip() + "\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ScanError(f"{location}: unreadable ({error})") from error
        _check_line_count(texts[-1], location)
    try:
        return list(ase.io.iread(io.StringIO("".join(texts)), ":", format="extxyz"))
    except Exception as error:  # ASE raises many kinds on damaged files
        location = f"{system.location}/atoms_{_first_unreadable(texts)}.xyz"
        raise ScanError(f"{location}: not extended XYZ ({error!r})") from error


def _first_unreadable(texts: list[str]) -> int:
    """Index of the frame at which ASE stops."""
    frames = ase.io.iread(io.StringIO("".join(texts)), ":", format="extxyz")
    n_read = 0
    with contextlib.suppress(Exception):
        for _ in frames:
            n_read += 1
    return n_read


def _check_line_count(text: str, location: str) -> None:
    """Without this a truncated frame would be completed with lines of the next one."""
    lines = text.split("\n")
    n_lines = len(lines) - 3  # the count, the header, and nothing after the last newline
    if n_lines < 1 or lines[0].strip() != str(n_lines):
        raise ScanError(f"{location}: first line is {lines[0][:40]!r}, expected the number of atoms, {n_lines}")


def _energy(frame: ase.Atoms) -> float:
    """Energy of a frame in eV; infinity, which no check lets pass, when it is missing or not one number."""
    energy = np.asarray(frame.calc.results.get("energy") if frame.calc else None)
    return float(energy) if energy.shape == () and energy.dtype.kind in "fi" else np.inf


def _check_frame(frame: ase.Atoms, location: str, numbers: np.ndarray) -> None:
    """A frame needs the atoms of the first frame, no periodicity, and finite energy, positions and forces."""
    if not np.array_equal(frame.numbers, numbers):
        raise ScanError(f"{location}: atoms are {frame.symbols}, expected those of atoms_0.xyz in its order")
    if numbers.min() < 1:
        raise ScanError(f"{location}: {frame.symbols} holds an atom without an element")
    if frame.pbc.any():
        raise ScanError(f"{location}: pbc is {frame.pbc.tolist()}, expected a molecule, not periodic")
    if np.isinf(_energy(frame)):
        raise ScanError(f"{location}: no energy or not a finite number, expected energy=<eV> in its header")
    if not np.isfinite(frame.positions).all():
        raise ScanError(f"{location}: positions must be finite")
    forces = frame.calc.results.get("forces")
    if np.shape(forces) != frame.positions.shape or not np.isfinite(forces).all():
        raise ScanError(f"{location}: no forces or not finite, expected the columns forces:R:3 in eV/Å")
