"""ASE calculator of a trained potential."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from mlip_design.checkpoint import load_potential
from mlip_design.graph import join_structures
from mlip_design.pair_list import PairList
from mlip_design.potential import Potential
from mlip_design.precision import floating_point
from mlip_design.structures import as_structure

SKIN = 0.5
"""Å. Atoms may move by half of it: some twenty steps of 0.5 fs at 300 K, for a quarter more candidates at 6 Å."""


class MLIPCalculator(Calculator):
    """Energy (eV), atomic energies (eV), forces (eV/Å) and, for periodic cells, stress (eV/Å^3).

    A potential with direct forces has no stress. skin: Å beyond the cutoff, by which neighbours are searched for ahead
    and not again until an atom has moved by half of it, or cell, elements or periodicity have changed; results do not
    depend on it. 0 searches every time. Raises StructureError for an impossible geometry and UnknownElementError for
    an element not in training.
    """

    implemented_properties: ClassVar = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, potential: Potential, device: str | torch.device = "cpu", skin: float = SKIN):
        super().__init__()
        self.potential = potential
        self.device = device
        self.pair_list = PairList(potential.cutoff, skin)
        if not potential.has_stress:
            self.implemented_properties = [name for name in self.implemented_properties if name != "stress"]

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype = "float64",
        skin: float = SKIN,
        allow: Sequence[str] = (),
    ) -> "MLIPCalculator":
        """Calculator of a checkpoint, run folder or exported model.

        dtype: 'float64' (smooth to rounding, for analysis) or 'float32' (faster), or the torch type. allow: modules
        whose blocks may be loaded beside those of `mlip_design`.
        """
        return cls(load_potential(path, device, floating_point(dtype), allow), device, skin)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Evaluate `atoms`; results are NumPy arrays in float64."""
        super().calculate(atoms, properties, system_changes)
        structure = as_structure(self.atoms)
        pairs = self.pair_list.pairs(structure)
        self.potential.check_elements(structure.numbers)
        graph = join_structures([structure], [pairs], self.potential.dtype).to(self.device)
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
