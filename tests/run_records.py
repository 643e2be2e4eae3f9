"""Run folders without runs: records as training writes them, with chosen numbers."""

import json
from pathlib import Path

ZERO_FORCES = {"forces_mae": 0.9, "full_smoothness": 53.0}


def write_record(
    folder: Path, overrides: list[str], x: float | None = 0.1, y: float | None = 30.0, seed: int = 1, **changes
) -> Path:
    """A `results.json` with val/forces_mae x (eV/Å) and val/bsct/full_smoothness y (1/Å); test values are 10 % higher.

    changes: other content of the record; `metrics` are added to those.
    """
    metrics = {"val/forces_mae": x, "val/bsct/full_smoothness": y}
    metrics |= {f"test{name[3:]}": None if value is None else 1.1 * value for name, value in metrics.items()}
    metrics |= {f"{split}/bsct/zero_full_smoothness": ZERO_FORCES["full_smoothness"] for split in ("val", "test")}
    facts = {"structures": 10, "atoms": 90, "mean_absolute_force": ZERO_FORCES["forces_mae"]}
    record = {
        "schema": 1,
        "status": "finished",
        "reason": None,
        "seed": seed,
        "overrides": [*overrides, f"seed={seed}"],
        "best": {"epoch": 1, "monitor": "val/forces_mae"},
        "cost": {"seconds": 10.0, "seconds_per_step": 0.05, "bsct_seconds": 1.0, "parameters": 1000},
        "budget": {"epochs": 2},
        "data": {split: dict(facts) for split in ("train", "val", "test")},
        "versions": {"mlip-design": "0.1.0"},
    }
    record |= {"metrics": metrics | changes.pop("metrics", {})} | changes
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(record))
    return folder


def write_points(folder: Path, points: list[tuple[float, float]]) -> Path:
    """One run for every point (x, y), in folders 0, 1, ...; variant i has the choice model=mi."""
    for i, (x, y) in enumerate(points):
        write_record(folder / str(i), [f"model=m{i}"], x, y)
    return folder
