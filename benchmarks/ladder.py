"""Markdown table of finished runs, one row each: `python benchmarks/ladder.py RUN_FOLDER ...`.

The table in the README is that of four runs `python train.py model=NAME hydra.run.dir=FOLDER`.
"""

import json
import sys
from pathlib import Path

from omegaconf import OmegaConf

COLUMNS = {
    "force MAE known, meV/Å": ("val/forces_mae", 1000, "{:.0f}"),
    "new, meV/Å": ("val_new/forces_mae", 1000, "{:.0f}"),
    "FSD full, 1/Å": ("val/bsct/full_smoothness", 1, "{:.1f}"),
    "compress": ("val/bsct/compress_smoothness", 1, "{:.1f}"),
    "stretch": ("val/bsct/stretch_smoothness", 1, "{:.1f}"),
    "away from equilibrium": ("val/bsct/windowed_smoothness", 1, "{:.1f}"),
}


def row(name: str, metrics: dict[str, float]) -> str:
    """One line of the table."""
    values = [(metrics.get(key), factor, form) for key, factor, form in COLUMNS.values()]
    return (
        f"| {name} | "
        + " | ".join("" if v is None else form.format(factor * v) for v, factor, form in values)
        + " |"
    )


def main(folders: list[str]) -> None:
    """Print the table of the runs in `folders`, with zero forces as the first row."""
    runs = [
        (json.loads((Path(f) / "results.json").read_text()), OmegaConf.load(Path(f) / "config.yaml"))
        for f in folders
    ]
    print("| model | " + " | ".join(COLUMNS) + " |\n|---|" + "---:|" * len(COLUMNS))
    first = runs[0][0]
    zero = {f"{split}/forces_mae": facts["mean_absolute_force"] for split, facts in first["data"].items()}
    bsct = {key.replace("zero_", ""): value for key, value in first["metrics"].items() if "/bsct/zero_" in key}
    print(row("zero forces", {**bsct, **zero}))
    for results, config in runs:
        chosen = [override for override in config.overrides if override.startswith(("model", "experiment"))]
        print(row(f"`{' '.join(chosen) or 'default'}`", results["metrics"]))


if __name__ == "__main__":
    main(sys.argv[1:])
