"""What a run prints: the model and its data, a line an epoch, and the tables at the end."""

import shlex
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

SMOOTHNESS = {
    "full_smoothness": "full",
    "compress_smoothness": "compressed",
    "stretch_smoothness": "stretched",
    "windowed_smoothness": "away from equilibrium",
}
EPOCH_KEYS = ("bsct/full_smoothness", "bsct/windowed_smoothness")
WIDTH = 11
"""Characters of a column of the lines of epochs."""


def model_line(model: dict, parameters: int, data: dict[str, dict]) -> str:
    """Blocks and size of a model, and the number of structures in every split.

    model: the configuration that builds it. parameters: how many. data: `StructureDataModule.describe`.
    """
    blocks = [model["backbone"], *(model[name] for name in ("neighbors", "envelope", "basis"))]
    blocks += [model["backbone"]["attention"]] if "attention" in model["backbone"] else []
    names = ", ".join(block["_target_"].rpartition(".")[2] for block in blocks)
    splits = ", ".join(f"{split} {facts['structures']:,}" for split, facts in data.items())
    return f"{names}: {parameters:,} parameters\nstructures: {splits}"


def epoch_heading(splits: list[str], metrics: dict[str, float], data: dict[str, dict]) -> str:
    """Heading of the lines of epochs, and the same numbers of zero forces.

    splits: names of the validation splits. metrics: those of the first epoch. data: `StructureDataModule.describe`.
    """
    groups = [("", 2), ("force MAE, meV/Å", len(splits)), ("FSD, 1/Å", len(EPOCH_KEYS))]
    names = ["epoch", "train loss", *splits, "full", "windowed", "time"]
    zero = ["zero forces", "", *(f"{1000 * data[split]['mean_absolute_force']:.1f}" for split in splits)]
    zero += [number(metrics.get(f"val/{key.replace('/', '/zero_')}"), 1) for key in EPOCH_KEYS]
    top = "".join(f"{text:>{WIDTH * columns}}" for text, columns in groups)
    return f"\n{top}\n{columns(names)}\n{columns(zero)}"


def epoch_line(epoch: int, splits: list[str], metrics: dict[str, float], seconds: float) -> str:
    """Training loss, force MAE of every validation split (meV/Å), full and windowed FSD (1/Å), time since the start."""
    errors = [number(1000 * metrics[f"{split}/forces_mae"], 1) for split in splits]
    smoothness = [number(metrics.get(f"val/{key}"), 1) for key in EPOCH_KEYS]
    minutes, rest = divmod(round(seconds), 60)
    return columns(
        [str(epoch), number(metrics.get("train/loss"), 4), *errors, *smoothness, f"{minutes}:{rest:02d}"]
    )


def columns(cells: list[str]) -> str:
    """Cells side by side, right-aligned."""
    return "".join(f"{cell:>{WIDTH}}" for cell in cells)


def number(value: float | None, digits: int) -> str:
    """A number with fixed decimals, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def print_summary(results: dict, history: list[dict], folder: Path) -> None:
    """Print accuracy, smoothness and files of a finished run.

    results: content of `results.json`; history: one row of metrics an epoch, the first epoch first.
    """
    console = Console(highlight=False)
    console.print("\nAccuracy: mean absolute errors (validation: last epoch; test: best epoch)")
    console.print(accuracy_table(results))
    for stage in ("val", "test"):
        if f"{stage}/bsct/full_smoothness" in results["metrics"]:
            console.print(f"\nSmoothness: force smoothness deviation, 1/Å, mean over the {stage} scans")
            console.print(smoothness_table(results["metrics"], history, stage))
    cost = results["cost"]
    share = cost["bsct_seconds"] / cost["seconds"]
    lines = (
        f"\ncost        {cost['parameters']:,} parameters, {cost['seconds']:.0f} s ({share:.1%} of it BSCT), "
        f"{1000 * cost['seconds_per_step']:.0f} ms a step",
        f"run folder  {folder}",
        "            report.html, results.json, metrics.csv, config.yaml, checkpoints/, figures/",
        f"next        {next_command(results['overrides'])}",
    )
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


def accuracy_table(results: dict) -> Table:
    """Errors of every evaluation split, beside the error of zero forces."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("split", "structures", "energy\nmeV/atom", "force\nmeV/Å", "zero forces\nmeV/Å", "force is"):
        table.add_column(heading, justify="left" if heading == "split" else "right")
    for split, facts in results["data"].items():
        error = results["metrics"].get(f"{split}/forces_mae")
        if error is None:
            continue
        energy, zero = results["metrics"][f"{split}/energy_mae_per_atom"], facts["mean_absolute_force"]
        errors = [f"{1000 * value:.1f}" for value in (energy, error, zero)]
        table.add_row(split, f"{facts['structures']:,}", *errors, f"1/{zero / error:.1f}" if error else "exact")
    return table


def smoothness_table(metrics: dict, history: list[dict], stage: str) -> Table:
    """Force smoothness deviation beside its value in the first epoch and of zero forces."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    scored = [row for row in history if f"{stage}/bsct/full_smoothness" in row]
    table.add_column("region")
    headings = ["last epoch" if stage == "val" else "best epoch", "zero forces"]
    for heading in [*(["first epoch"] if scored else []), *headings]:
        table.add_column(heading, justify="right")
    for key, label in SMOOTHNESS.items():
        earlier = [scored[0][f"{stage}/bsct/{key}"]] if scored else []
        values = [*earlier, metrics[f"{stage}/bsct/{key}"], metrics[f"{stage}/bsct/zero_{key}"]]
        table.add_row(label, *(f"{value:.1f}" for value in values))
    return table


def next_command(overrides: list[str]) -> str:
    """A sensible continuation: the same training without the remedies, to compare with, or else a longer one."""
    without_model = [override for override in overrides if not override.startswith("model=")]
    if "model=baseline" not in overrides:
        return shlex.join(["python", "train.py", "model=baseline", *without_model])
    kept = [
        override for override in without_model if not override.startswith(("experiment=", "trainer.max_epochs="))
    ]
    return shlex.join(["python", "train.py", "experiment=long", *kept])
