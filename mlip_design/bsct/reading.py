"""One system of the published layout (see `scans`), read and checked.

The bond length of frame i is `linspace(first, last, count)[i]` with `perturb_range = (first, last, count)`.
The positions must agree with it to `LENGTH_TOLERANCE`. Frames whose reference energy is NaN are dropped.
`unperturbed.xyz` is part of the layout but carries nothing a scan needs, so it is not read.
"""

import io

import numpy as np
from ase.symbols import Symbols

from mlip_design.bsct.frames import Frame, read_frames
from mlip_design.bsct.layout import ScanError, SystemFiles
from mlip_design.bsct.scan import Scan

LENGTH_TOLERANCE = 1e-4  # Å; coordinates with 8 decimals agree to 2e-8, a frame is about 0.02 Å


def read_system(system: SystemFiles) -> Scan:
    """Read and check one system; frames whose reference energy is NaN are dropped. Raises ScanError."""
    bond_index, lengths = _read_partition(system)
    frames = read_frames(system, len(lengths))
    numbers, energies = frames[0].numbers, np.array([frame.energy for frame in frames])
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
        forces=np.array([frames[i].forces for i in kept]),
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


def _check_frame(frame: Frame, location: str, numbers: np.ndarray) -> None:
    """A frame needs the atoms of the first frame, no periodicity, and finite energy, positions and forces."""
    if not np.array_equal(frame.numbers, numbers):
        raise ScanError(
            f"{location}: atoms are {Symbols(frame.numbers)}, expected those of atoms_0.xyz in its order"
        )
    if numbers.min() < 1:
        raise ScanError(f"{location}: {Symbols(frame.numbers)} holds an atom without an element")
    if frame.pbc.any():
        raise ScanError(f"{location}: pbc is {frame.pbc.tolist()}, expected a molecule, not periodic")
    if np.isinf(frame.energy):
        raise ScanError(f"{location}: no energy or not a finite number, expected energy=<eV> in its header")
    if not np.isfinite(frame.positions).all():
        raise ScanError(f"{location}: positions must be finite")
    if np.shape(frame.forces) != frame.positions.shape or not np.isfinite(frame.forces).all():
        raise ScanError(f"{location}: no forces or not finite, expected the columns forces:R:3 in eV/Å")
