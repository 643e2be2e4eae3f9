"""The nine published keys of one system straight from its files, number by number: an implementation that shares
nothing with the package, to compare it with.

    python tests/published_score.py RESULT_FOLDER DATA

compares a whole result of `mlip-design bsct --out RESULT_FOLDER` with it.
"""

import io
import json
import math
import sys
import zipfile
from pathlib import Path

import numpy as np

FLOOR = 1.0  # eV/Å


def read_labels(folder: Path) -> tuple[list[float], list[float], list[list[list[float]]]]:
    """Bond lengths (Å), energies (eV) and forces (eV/Å) of the frames that have an energy."""
    with zipfile.ZipFile(folder / "partition.npz") as archive:
        first, last, count = np.load(io.BytesIO(archive.read("perturb_range.npy")))
    lengths, energies, forces = [], [], []
    for i in range(int(count)):
        n_atoms, header, *rows = (folder / f"atoms_{i}.xyz").read_text().splitlines()
        energy = float(next(word for word in header.split() if word.startswith("energy=")).partition("=")[2])
        if math.isnan(energy):
            continue
        lengths.append(first + i * (last - first) / (count - 1))
        energies.append(energy)
        forces.append([[float(word) for word in row.split()[4:7]] for row in rows[: int(n_atoms)]])
    return lengths, energies, forces


def published_score(folder: Path, model_energies, model_forces, wrong_centre: bool = False) -> dict[str, float]:
    """The nine keys of model energies (eV) and forces (eV/Å) of the labelled frames of a system's folder.

    wrong_centre: take the model's own force at equilibrium, where the definition says the reference's.
    """
    lengths, energies, forces = read_labels(folder)
    k = energies.index(min(energies))
    log_ratios = []
    for i in range(len(lengths)):
        model = reference = 0.0
        for atom in range(len(forces[i])):
            for axis in range(3):
                at_k = forces[k][atom][axis]
                model += (
                    model_forces[i][atom][axis] - (model_forces[k][atom][axis] if wrong_centre else at_k)
                ) ** 2
                reference += (forces[i][atom][axis] - at_k) ** 2
        log_ratios.append(math.log(max(model, FLOOR**2)) - math.log(max(reference, FLOOR**2)))
    score = {}
    for region, first, last in (
        ("full", 0, len(lengths) - 1),
        ("compress", 0, k),
        ("stretch", k, len(lengths) - 1),
    ):
        steepest = 0.0
        for i in range(first, last):
            steepest = max(steepest, abs((log_ratios[i + 1] - log_ratios[i]) / (lengths[i + 1] - lengths[i])))
        energy_errors, force_errors = [], []
        for i in range(first, last + 1):
            energy_errors.append(abs(model_energies[i] - energies[i]))
            for model_force, force in zip(model_forces[i], forces[i], strict=True):
                force_errors += [abs(model_force[axis] - force[axis]) for axis in range(3)]
        score[f"{region}_smoothness"] = steepest
        score[f"{region}_energy_mae"] = math.fsum(energy_errors) / len(energy_errors)
        score[f"{region}_forces_mae"] = math.fsum(force_errors) / len(force_errors)
    return score


def predictions(folder: Path) -> dict[str, tuple[list, list]]:
    """System -> energies and forces of the model, from the `predictions.npz` of a result."""
    arrays = np.load(folder / "predictions.npz")
    found, frame, component = {}, 0, 0
    for bond, system_id, n_frames, n_atoms in zip(
        arrays["bond"], arrays["system_id"], arrays["n_frames"], arrays["n_atoms"], strict=True
    ):
        size = n_frames * n_atoms * 3
        forces = arrays["model_forces"][component : component + size].reshape(n_frames, n_atoms, 3)
        found[f"{bond}/{system_id}"] = arrays["model_energies"][frame : frame + n_frames].tolist(), forces.tolist()
        frame, component = frame + n_frames, component + size
    return found


def largest_deviation(result: Path, data: Path, wrong_centre: bool = False) -> float:
    """Largest relative difference over all keys and systems with a usable prediction."""
    systems, largest = json.loads((result / "result.json").read_text())["systems"], 0.0
    for name, (energies, forces) in predictions(result).items():
        if systems[name]["failure"] is None:
            for key, expected in published_score(data / name, energies, forces, wrong_centre).items():
                largest = max(largest, abs(systems[name][key] - expected) / max(abs(expected), 1e-12))
    return largest


if __name__ == "__main__":
    print(f"largest relative difference {largest_deviation(Path(sys.argv[1]), Path(sys.argv[2])):.1e}")
