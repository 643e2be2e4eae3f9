"""`Scan`: reference labels along the length of one bond, or another coordinate (see `coordinates`)."""

from dataclasses import dataclass

import numpy as np

from mlip_design.bsct.layout import ScanError

Prediction = tuple[np.ndarray, ...]
"""A model along a scan: energies (n_frames,), eV, and forces (n_frames, n_atoms, 3), eV/Å; and stresses
(n_frames, 3, 3), eV/Å^3, if the scan has them."""


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
        bond_index: the two atoms of the scanned bond, (2,), dimensionless; zeros where a volume is scanned.
        cells: lattice vectors in rows, (n_frames, 3, 3), Å, of a crystal; None for a molecule.
        stresses: reference stresses, (n_frames, 3, 3), eV/Å^3, sign as in ASE, of a scan of the volume; otherwise None.
    """

    bond: str
    system_id: str
    numbers: np.ndarray
    lengths: np.ndarray
    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    bond_index: np.ndarray
    cells: np.ndarray | None = None
    stresses: np.ndarray | None = None

    def __post_init__(self):
        for field in ("numbers", "bond_index"):
            object.__setattr__(self, field, np.asarray(getattr(self, field), dtype=np.int64))
        tensors = dict.fromkeys(self.tensors, (np.size(self.lengths), 3, 3))
        for field in ("lengths", "positions", "energies", "forces", *tensors):
            object.__setattr__(self, field, np.asarray(getattr(self, field), dtype=np.float64))
        frames, atoms = self.lengths.size, self.numbers.size
        vectors = (frames, atoms, 3)
        shapes = {"lengths": (frames,), "numbers": (atoms,), "energies": (frames,), "bond_index": (2,)}
        for field, shape in (shapes | {"positions": vectors, "forces": vectors} | tensors).items():
            found = getattr(self, field)
            if found.shape != shape:
                raise ScanError(f"{self.name}: {field} has shape {found.shape}, expected {shape}")
            if not np.isfinite(found).all():
                raise ScanError(f"{self.name}: {field} must be finite")
        if frames < 2 or (np.diff(self.lengths) <= 0).any():
            raise ScanError(f"{self.name}: lengths must be at least 2 and strictly increasing")

    @property
    def tensors(self) -> list[str]:
        """Those of `cells` and `stresses` that it has."""
        return [name for name in ("cells", "stresses") if getattr(self, name) is not None]

    @property
    def labels(self) -> Prediction:
        """The reference as a prediction."""
        labels = self.energies, self.forces
        return labels if self.stresses is None else (*labels, self.stresses)

    @property
    def name(self) -> str:
        """Bond type and identifier, such as "C-N/25729"."""
        return f"{self.bond}/{self.system_id}"

    @property
    def equilibrium(self) -> int:
        """Index of the frame of lowest reference energy."""
        return int(np.argmin(self.energies))

    def frames(self, chosen: slice | np.ndarray) -> "Scan":
        """The same scan with some of its frames only."""
        names = ("lengths", "positions", "energies", "forces", *self.tensors)
        parts = {name: getattr(self, name)[chosen] for name in names}
        return Scan(self.bond, self.system_id, self.numbers, bond_index=self.bond_index, **parts)
