"""torch-sim model of a trained potential: many systems in one forward (extra `torch-sim`)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mlip_design.calculator import SKIN
from mlip_design.checkpoint import load_potential
from mlip_design.graph import join_structures
from mlip_design.pair_list import PairList
from mlip_design.potential import Potential
from mlip_design.precision import floating_point
from mlip_design.structures import Structure

try:
    from torch_sim.models.interface import ModelInterface
    from torch_sim.state import SimState
except ImportError as error:
    raise ImportError("torch-sim is not installed: pip install 'mlip-design[torch-sim]'") from error


class TorchSimModel(ModelInterface):
    """Energies, forces and stresses of all systems of a torch-sim state, those of the ASE calculator to rounding.

    compute_stress: None for wherever the potential has stress. skin: Å, as of `MLIPCalculator`, for every system.
    """

    def __init__(self, potential: Potential, compute_stress: bool | None = None, skin: float = SKIN):
        super().__init__()
        self.potential = potential
        self._device, self._dtype = potential.device, potential.dtype
        self._compute_forces = True
        self._compute_stress = False
        self.compute_stress = potential.has_stress if compute_stress is None else compute_stress
        self.skin = skin
        self.pair_lists: list[PairList] = []

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype = "float64",
        compute_stress: bool | None = None,
        skin: float = SKIN,
        allow: Sequence[str] = (),
    ) -> "TorchSimModel":
        """Model of a checkpoint, run folder or exported model; dtype and allow as of `MLIPCalculator`."""
        return cls(load_potential(path, device, floating_point(dtype), allow), compute_stress, skin)

    @property
    def compute_stress(self) -> bool:
        """Whether stresses are computed."""
        return self._compute_stress

    @compute_stress.setter
    def compute_stress(self, wanted: bool) -> None:
        if wanted and not self.potential.has_stress:
            raise NotImplementedError("a potential with a readout that is not conservative has no stress")
        self._compute_stress = wanted

    def forward(self, state: SimState | dict) -> dict[str, Tensor]:
        """energy (n_systems,), eV; forces (n_atoms, 3), eV/Å; if computed, stress (n_systems, 3, 3), eV/Å^3.

        All in the model's dtype; stress is NaN for systems that are not periodic. Raises StructureError and
        UnknownElementError, naming the system.
        """
        if isinstance(state, dict):
            state = SimState(masses=torch.ones_like(state["positions"][:, 0]), **state)
        structures = structures_of(state)
        self.pair_lists += [PairList(self.potential.cutoff, self.skin) for _ in structures[len(self.pair_lists) :]]
        pairs = []
        for index, structure in enumerate(structures):
            self.potential.check_elements(structure.numbers, f"system {index}")
            pairs.append(self.pair_lists[index].pairs(structure, f"system {index}"))
        graph = join_structures(structures, pairs, self.dtype).to(self.device)
        with torch.no_grad():
            prediction = self.potential(graph, stress=self.compute_stress)
        found = {"energy": prediction.energy.to(self.dtype), "forces": prediction.forces}
        return found | ({"stress": prediction.stress} if self.compute_stress else {})


def structures_of(state: SimState) -> list[Structure]:
    """The systems of a state, on the CPU in float64; what is not periodic has no cell."""
    positions, cells = (
        values.detach().cpu().double().numpy() for values in (state.positions, state.row_vector_cell)
    )
    numbers = state.atomic_numbers.cpu().numpy().astype(np.int64)
    ends = np.cumsum(np.bincount(state.system_idx.cpu().numpy(), minlength=len(cells)))[:-1]
    pbc = np.full(3, bool(state.pbc))
    return [
        Structure(own_numbers, own_positions, cell if state.pbc else np.zeros((3, 3)), pbc)
        for own_numbers, own_positions, cell in zip(
            np.split(numbers, ends), np.split(positions, ends), cells, strict=True
        )
    ]
