"""Times of a NequIP with random weights, in its own environment: `asked.py` says what can be asked; model: l_max.

Its builder's defaults, four layers of 32 channels, without odd mirror parity as in its own presets, not compiled.
"""

import torch
from ase.data import chemical_symbols
from asked import ELEMENTS, NEIGHBORS, R_MAX, Frames, Prepared, answer, parameters
from nequip.data import AtomicDataDict, from_ase
from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state

NAMES = [chemical_symbols[number] for number in ELEMENTS]


def model_of(l_max: int, device: str) -> torch.nn.Module:
    """With forces from the gradient."""
    set_global_state()
    return NequIPGNNModel(
        seed=0,
        model_dtype="float32",
        type_names=NAMES,
        r_max=R_MAX,
        l_max=l_max,
        parity=False,
        avg_num_neighbors=NEIGHBORS,
        per_type_energy_shifts=0.0,
        per_type_energy_scales=1.0,
    ).to(device)


def batch_of(frames: Frames, device: str) -> dict[str, torch.Tensor]:
    """One batch of structures."""
    transforms = ChemicalSpeciesToAtomTypeMapper(NAMES), NeighborListTransform(r_max=R_MAX)
    graphs = [from_ase(atoms) for atoms in frames]
    for transform in transforms:
        graphs = [transform(graph) for graph in graphs]
    return AtomicDataDict.to_(AtomicDataDict.batched_from_list(graphs), device)


def training(asked: dict, frames: Frames) -> Prepared:
    """A step with force loss."""
    model, batch = model_of(asked["model"], asked["device"]).train(), batch_of(frames, asked["device"])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    energy, forces = (batch[key].float() for key in (AtomicDataDict.TOTAL_ENERGY_KEY, AtomicDataDict.FORCE_KEY))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        found = model(dict(batch))
        errors = (
            found[AtomicDataDict.TOTAL_ENERGY_KEY] - energy.view(-1, 1),
            found[AtomicDataDict.FORCE_KEY] - forces,
        )
        sum(error.square().mean() for error in errors).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()

    return step, parameters(model)


def inference(asked: dict, frames: Frames) -> Prepared:
    """Energies and forces."""
    model, batch = model_of(asked["model"], asked["device"]).eval(), batch_of(frames, asked["device"])
    return lambda: model(dict(batch)), parameters(model)


if __name__ == "__main__":
    answer(training, inference)
