"""Times of a MACE with random weights, in its own environment: `python mace_times.py JSON`; prints JSON.

JSON: irreps, what ("training", "molecules" or "boxes"), device, repeats, atoms (list of sizes) or files. Molecules are
those of the package, which need not be installed: its files are read from the folders beside this one.
"""

import json
import sys
import time
from pathlib import Path
from statistics import median

import ase.io
import numpy as np
import torch
from e3nn import o3
from mace import data, modules, tools
from mace.tools import torch_geometric

BUNDLED = Path(__file__).resolve().parents[2] / "mlip_design" / "data" / "bundled"
ELEMENTS = [1, 6, 7, 8, 9, 15, 16, 17]
R_MAX = 5.0


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
        avg_num_neighbors=10.0,
        atomic_numbers=ELEMENTS,
        correlation=3,
    ).to(device)


def batch_of(frames: list[ase.Atoms], device: str) -> dict:
    """One batch of structures."""
    table = tools.AtomicNumberTable(ELEMENTS)
    keys = data.KeySpecification(info_keys={"energy": "energy"}, arrays_keys={"forces": "forces"})
    configs = [data.config_from_atoms(atoms, key_specification=keys) for atoms in frames]
    graphs = [data.AtomicData.from_config(config, z_table=table, cutoff=R_MAX) for config in configs]
    loader = torch_geometric.dataloader.DataLoader(graphs, batch_size=len(graphs), shuffle=False)
    return next(iter(loader)).to(device)


def labelled(frames: list[ase.Atoms]) -> list[ase.Atoms]:
    """With labels where MACE looks for them."""
    for atoms in frames:
        atoms.info["energy"], atoms.arrays["forces"] = atoms.get_potential_energy(), atoms.get_forces()
    return frames


def within(frames: list[ase.Atoms], n_atoms: int) -> list[ase.Atoms]:
    """The first structures, at most so many atoms."""
    ends = np.cumsum([len(atoms) for atoms in frames])
    return frames[: max(int((ends <= n_atoms).sum()), 1)]


def seconds(function, repeats: int, device: str) -> float:
    """Median wall time after two calls to warm up."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        function()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return median(times[2:])


def training(asked: dict, frames: list[ase.Atoms]) -> list[dict]:
    """Steps with force loss."""
    device, rows = asked["device"], []
    for size in asked["atoms"]:
        model = model_of(asked["irreps"], device)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01, amsgrad=True)
        loss = modules.WeightedEnergyForcesLoss(energy_weight=1.0, forces_weight=100.0)
        batch = batch_of(within(frames, size), device)

        def step(model=model, optimizer=optimizer, loss=loss, batch=batch) -> None:
            optimizer.zero_grad(set_to_none=True)
            output = model(batch.to_dict(), training=True, compute_force=True)
            loss(pred=output, ref=batch).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()

        taken = seconds(step, asked["repeats"], device)
        count = sum(parameter.numel() for parameter in model.parameters())
        rows.append({"parameters": count, "atoms": len(batch.positions), "seconds": taken})
    return rows


def inference(asked: dict, batches: list[list[ase.Atoms]]) -> list[dict]:
    """Energies and forces of each batch."""
    device, rows = asked["device"], []
    model = model_of(asked["irreps"], device)
    for frames in batches:
        batch = batch_of(frames, device)
        taken = seconds(lambda b=batch: model(b.to_dict(), compute_force=True), asked["repeats"], device)
        rows.append({"atoms": len(batch.positions), "seconds": taken})
    return rows


def main() -> None:
    """Answer what was asked."""
    asked = json.loads(sys.argv[1])
    torch.set_default_dtype(torch.float32)
    frames = labelled(ase.io.read(BUNDLED / "val_known.xyz.xz", ":", format="extxyz"))
    if asked["what"] == "training":
        found = training(asked, frames)
    elif asked["what"] == "molecules":
        found = inference(asked, [within(frames, size) for size in asked["atoms"]])
    else:
        found = inference(asked, [labelled_box(path) for path in asked["files"]])
    print(json.dumps(found))


def labelled_box(path: str) -> list[ase.Atoms]:
    """A box of a file, with zeros as labels."""
    atoms = ase.io.read(path)
    atoms.info["energy"], atoms.arrays["forces"] = 0.0, np.zeros((len(atoms), 3))
    return [atoms]


if __name__ == "__main__":
    main()
