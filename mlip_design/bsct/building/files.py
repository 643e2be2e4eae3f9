"""Files of the published scan layout: frames as extended XYZ and `partition.npz`. Units: Å, eV, eV/Å, eV/Å^3."""

import io
from collections.abc import Iterable, Sequence

import numpy as np
from ase.data import chemical_symbols
from scipy.spatial.transform import Rotation


def extxyz(
    numbers: Iterable[int],
    positions: np.ndarray,
    energy: float,
    forces: np.ndarray,
    decimals: tuple[int, int, int],
    cell: np.ndarray | None = None,
    pbc: Sequence[bool] = (False, False, False),
    stress: np.ndarray | None = None,
    **info: object,
) -> str:
    """One structure as extended XYZ.

    numbers: (n_atoms,). positions: (n_atoms, 3), Å. energy: eV. forces: (n_atoms, 3), eV/Å. decimals: of positions,
    energy and forces. cell: (3, 3), Å, None for a molecule. pbc: periodic directions. stress: (3, 3), eV/Å^3, sign as
    in ASE, with as many decimals as positions. info: further keys of the header; text that holds spaces comes in
    quotation marks.
    """
    of_position, of_energy, of_force = decimals
    words = [f"{key}={value}" for key, value in info.items()]
    words += [f"energy={energy:.{of_energy}f}", f"pbc={quoted('T' if periodic else 'F' for periodic in pbc)}"]
    words += [] if cell is None else [f"Lattice={quoted(f'{x:.{of_position}f}' for x in np.ravel(cell))}"]
    words += [] if stress is None else [f"stress={quoted(f'{s:.{of_position}f}' for s in np.ravel(stress))}"]
    lines = [str(len(positions)), " ".join(["Properties=species:S:1:pos:R:3:forces:R:3", *words])]
    for number, x, f in zip(numbers, positions, forces, strict=True):
        columns = [f"{value:.{of_position}f}" for value in x] + [f"{value:.{of_force}f}" for value in f]
        lines.append(" ".join([chemical_symbols[number], *columns]))
    return "\n".join(lines) + "\n"


def quoted(words: Iterable[str]) -> str:
    """Words with a space between them, in quotation marks."""
    return f'"{" ".join(words)}"'


def partition(
    group: str,
    bond: Iterable[int],
    labels: np.ndarray,
    perturb_range: tuple[float, float, int],
    axis: np.ndarray,
    **further: np.ndarray,
) -> bytes:
    """Content of `partition.npz`.

    group: bond type. bond: its two atoms. labels: side of every atom, (n_atoms,). perturb_range: first and last
    bond length (Å) and how many. axis: unit vector along the bond from side 0 to side 1, (3,); `rotation` turns it
    onto x. further: arrays beside these.
    """
    x, y, z = Rotation.align_vectors([[1, 0, 0]], [axis])[0].as_euler("xyz", degrees=True)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        bond=np.array(group),
        bond_index=np.array(bond, dtype=np.int64),
        labels=labels,
        perturb_range=np.array(perturb_range, dtype=float),
        rotation=np.array(f"{x:.2f}x,{y:.2f}y,{z:.2f}z"),
        unit_vec=axis,
        **further,
    )
    return buffer.getvalue()
