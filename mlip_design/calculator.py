"""ASE calculator of a trained potential."""

from pathlib import Path
from typing import ClassVar

import torch
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from mlip_design.checkpoint import load_potential
from mlip_design.graph import batch_structures
from mlip_design.potential import Potential
from mlip_design.structures import from_atoms


class MLIPCalculator(Calculator):
    """Energy (eV), atomic energies (eV), forces (eV/Å) and, for periodic cells, stress (eV/Å^3).

    A potential with direct forces has no stress. Raises StructureError for an impossible geometry and
    UnknownElementError for an element not in training.
    """

    implemented_properties: ClassVar = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, potential: Potential, device: str | torch.device = "cpu"):
        super().__init__()
        self.potential = potential
        self.device = device
        if not potential.has_stress:
            self.implemented_properties = [name for name in self.implemented_properties if name != "stress"]

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, device: str | torch.device = "cpu", dtype: str | torch.dtype = "float64"
    ) -> "MLIPCalculator":
        """Calculator of a checkpoint or run folder.

        dtype: 'float64' (smooth to rounding, for analysis) or 'float32' (faster), or the torch type.
        """
        if isinstance(dtype, str):
            allowed = {"float32": torch.float32, "float64": torch.float64}
            if dtype not in allowed:
                raise ValueError(f"dtype {dtype!r} is not one of {', '.join(allowed)}")
            dtype = allowed[dtype]
        return cls(load_potential(path, device, dtype), device)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Evaluate `atoms`; results are NumPy arrays in float64."""
        super().calculate(atoms, properties, system_changes)
        structure = from_atoms(self.atoms)
        self.potential.check_elements(structure.numbers)
        graph = batch_structures([structure], self.potential.cutoff, self.potential.dtype).to(self.device)
        has_stress = self.potential.has_stress and bool(structure.pbc.all())
        with torch.no_grad():
            prediction = self.potential(graph, stress=has_stress and "stress" in properties)
        energy = prediction.energy.item()
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": prediction.energies.double().cpu().numpy(),
            "forces": prediction.forces.double().cpu().numpy(),
        }
        if prediction.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(prediction.stress[0].double().cpu().numpy())
