"""Times of a MACE with random weights, in its own environment: `asked.py` says what can be asked; model: irreps."""

import ase
import numpy as np
import torch
from asked import ELEMENTS, NEIGHBORS, R_MAX, Frames, Prepared, answer, parameters
from mace import data, modules, tools
from mace.tools import torch_geometric

# isort: split
from e3nn import o3  # the old one that MACE pins can be imported after it only


def model_of(irreps: str, device: str) -> torch.nn.Module:
    """Two layers, correlation 3, the defaults of mace_run_train otherwise."""
    torch.manual_seed(0)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    return modules.MACE(
        r_max=R_MAX,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=2,
        num_elements=len(ELEMENTS),
        hidden_irreps=o3.Irreps(irreps),
        MLP_irreps=o3.Irreps("16x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.zeros(len(ELEMENTS)),
        avg_num_neighbors=NEIGHBORS,
        atomic_numbers=ELEMENTS,
        correlation=3,
    ).to(device)


def batch_of(frames: Frames, device: str) -> dict:
    """One batch of structures."""
    table = tools.AtomicNumberTable(ELEMENTS)
    keys = data.KeySpecification(info_keys={"energy": "energy"}, arrays_keys={"forces": "forces"})
    configs = [data.config_from_atoms(labelled(atoms), key_specification=keys) for atoms in frames]
    graphs = [data.AtomicData.from_config(config, z_table=table, cutoff=R_MAX) for config in configs]
    loader = torch_geometric.dataloader.DataLoader(graphs, batch_size=len(graphs), shuffle=False)
    return next(iter(loader)).to(device)


def labelled(atoms: ase.Atoms) -> ase.Atoms:
    """With labels where MACE looks for them."""
    atoms.info["energy"], atoms.arrays["forces"] = atoms.get_potential_energy(), atoms.get_forces()
    return atoms


def training(asked: dict, frames: Frames) -> Prepared:
    """A step with force loss."""
    model, batch = model_of(asked["model"], asked["device"]), batch_of(frames, asked["device"])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, amsgrad=True)
    loss = modules.WeightedEnergyForcesLoss(energy_weight=1.0, forces_weight=100.0)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(pred=model(batch.to_dict(), training=True, compute_force=True), ref=batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()

    return step, parameters(model)


def inference(asked: dict, frames: Frames) -> Prepared:
    """Energies and forces."""
    model, batch = model_of(asked["model"], asked["device"]), batch_of(frames, asked["device"])
    return lambda: model(batch.to_dict(), compute_force=True), parameters(model)


if __name__ == "__main__":
    answer(training, inference)
