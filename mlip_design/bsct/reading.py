"""One system of the published layout (see `scans`), read and checked.

The bond length of frame i, or the coordinate of another kind of scan (see `coordinates`), is
`linspace(first, last, count)[i]` with `perturb_range = (first, last, count)`.
The positions must agree with it to `LENGTH_TOLERANCE`. Frames whose reference energy is NaN are dropped.
`unperturbed.xyz` is part of the layout but carries nothing a scan needs, so it is not read.
"""

import io

import numpy as np
from ase.symbols import Symbols

from mlip_design.bsct.coordinates import N_ATOMS, PERIODIC, STRESSED, coordinate, kind_of
from mlip_design.bsct.frames import Frame, read_frames
from mlip_design.bsct.layout import ScanError, SystemFiles
from mlip_design.bsct.scan import Scan

NUMBER_WORDS = {2: "two", 3: "three", 4: "four"}
LENGTH_TOLERANCE = 1e-4  # Å; coordinates with 8 decimals agree to 2e-8, a frame is about 0.02 Å


def read_system(system: SystemFiles) -> Scan:
    """Read and check one system; frames whose reference energy is NaN are dropped. Raises ScanError."""
    bond_index, atoms, lengths = _read_partition(system)
    kind = kind_of(system.bond)
    frames = read_frames(system, len(lengths))
    numbers, energies = frames[0].numbers, np.array([frame.energy for frame in frames])
    kept = np.flatnonzero(~np.isnan(energies))
    if len(kept) < 2:
        raise ScanError(f"{system.location}: {len(kept)} of {len(frames)} frames have an energy, at least 2 must")
    for key, found in (("bond_index", bond_index), ("atoms", atoms)):
        if found.max(initial=0) >= len(numbers):
            raise ScanError(f"{system.location}/partition.npz: {key} {found} of {len(numbers)} atoms")

    for frame_index in kept:
        location = f"{system.location}/atoms_{frame_index}.xyz"
        _check_frame(frames[frame_index], location, numbers, kind)
        length = coordinate(kind, frames[frame_index].positions, atoms, frames[frame_index].cell)
        if not abs(length - lengths[frame_index]) <= LENGTH_TOLERANCE:
            what = f"{kind} {atoms}" if len(atoms) else "the cube root of its volume an atom"
            raise ScanError(
                f"{location}: {what} is {length:.6f} Å long, perturb_range gives "
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
        cells=np.array([frames[i].cell for i in kept]) if kind in PERIODIC else None,
        stresses=np.array([frames[i].stress for i in kept]) if kind in STRESSED else None,
    )


def _read_partition(system: SystemFiles) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two atoms of the bond, (2,), those of the coordinate, and the coordinate of every frame, (n_frames,), Å."""
    location = f"{system.location}/partition.npz"
    if "partition.npz" not in system.readers:
        raise ScanError(f"{location}: missing")
    try:
        content = io.BytesIO(system.readers["partition.npz"]())
        with np.load(content, allow_pickle=False) as archive:
            bond, bond_index, perturb_range = map(archive.get, ("bond", "bond_index", "perturb_range"))
            atoms = archive.get("atoms", bond_index)
    except Exception as error:  # zip, zlib and NumPy raise many kinds on damaged files
        raise ScanError(f"{location}: unreadable ({error!r})") from error
    if bond is None or bond_index is None or perturb_range is None:
        raise ScanError(f"{location}: expected the keys bond, bond_index and perturb_range")

    if str(bond) != system.bond:
        raise ScanError(f"{location}: bond is {str(bond)!r}, its folder says {system.bond!r}")
    if count := N_ATOMS[kind_of(system.bond)]:
        _check_atoms(f"{location}: bond_index", bond_index, 2)
        _check_atoms(f"{location}: atoms", atoms, count)
    else:
        bond_index, atoms = np.zeros(2), np.empty(0)
    if perturb_range.shape != (3,) or perturb_range.dtype.kind not in "iuf":
        raise ScanError(f"{location}: perturb_range is {perturb_range}, expected (first, last, count)")
    first, last, count = perturb_range
    if not (np.isfinite(perturb_range).all() and 0 < first < last and count >= 2 and count == int(count)):
        raise ScanError(f"{location}: perturb_range is {perturb_range}, expected 0 < first < last, count >= 2")
    _check_frame_names(system, int(count))
    return bond_index.astype(np.int64), atoms.astype(np.int64), np.linspace(first, last, int(count))


def _check_atoms(where: str, found: np.ndarray, count: int) -> None:
    """They must be as many indices as the kind of scan takes, all different; an index too large is seen later."""
    whole = found.shape == (count,) and np.issubdtype(found.dtype, np.integer)
    if not whole or found.min() < 0 or len(np.unique(found)) < count:
        raise ScanError(f"{where} is {found}, expected {NUMBER_WORDS[count]} different atoms")


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


def _check_frame(frame: Frame, location: str, numbers: np.ndarray, kind: str) -> None:
    """A frame needs the atoms of the first frame, the periodicity and labels of its kind, and all of it finite."""
    is_crystal = kind in PERIODIC
    if not np.array_equal(frame.numbers, numbers):
        raise ScanError(
            f"{location}: atoms are {Symbols(frame.numbers)}, expected those of atoms_0.xyz in its order"
        )
    if numbers.min() < 1:
        raise ScanError(f"{location}: {Symbols(frame.numbers)} holds an atom without an element")
    if (frame.pbc != is_crystal).any():
        expected = "a crystal, periodic along a, b and c" if is_crystal else "a molecule, not periodic"
        raise ScanError(f"{location}: pbc is {frame.pbc.tolist()}, expected {expected}")
    if is_crystal and not abs(np.linalg.det(frame.cell)) > 1e-3:
        raise ScanError(f"{location}: its cell has no volume")
    if np.isinf(frame.energy):
        raise ScanError(f"{location}: no energy or not a finite number, expected energy=<eV> in its header")
    if not np.isfinite(frame.positions).all():
        raise ScanError(f"{location}: positions must be finite")
    if np.shape(frame.forces) != frame.positions.shape or not np.isfinite(frame.forces).all():
        raise ScanError(f"{location}: no forces or not finite, expected the columns forces:R:3 in eV/Å")
    if kind in STRESSED and not (frame.stress is not None and np.isfinite(frame.stress).all()):
        raise ScanError(
            f'{location}: no stress or not finite, expected stress="<nine numbers>", eV/Å^3, in its header'
        )
