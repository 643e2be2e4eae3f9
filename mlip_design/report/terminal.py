"""The table at the end of a run: what was learnt, how smooth it is, where everything lies, what to type next."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

SMOOTHNESS = {
    "full_smoothness": "full",
    "compress_smoothness": "compressed",
    "stretch_smoothness": "stretched",
    "windowed_smoothness": "away from equilibrium",
}


def print_summary(results: dict, history: list[dict], folder: Path) -> None:
    """Print accuracy, smoothness and files of a finished run.

    results: content of `results.json`; history: one row of metrics an epoch, the first epoch first.
    """
    console = Console()
    console.print(accuracy_table(results))
    for stage in ("val", "test"):
        if f"{stage}/bsct/full_smoothness" in results["metrics"]:
            console.print(smoothness_table(results["metrics"], history, stage))
    cost = results["cost"]
    share = cost["bsct_seconds"] / cost["seconds"]
    console.print(
        f"{cost['parameters']:,} parameters, {cost['seconds']:.0f} s ({share:.1%} of it BSCT), "
        f"{1000 * cost['seconds_per_step']:.0f} ms a step"
    )
    console.print(
        f"run folder: {folder}  (results.json, metrics.csv, config.yaml, checkpoints/, figures/)", soft_wrap=True
    )
    console.print(f"next: {next_command(results['overrides'])}", soft_wrap=True, markup=False)


def accuracy_table(results: dict) -> Table:
    """Errors of every evaluation split, beside the size of the forces."""
    table = Table(title="Accuracy (validation: last epoch; test: best epoch)", title_justify="left")
    for heading in ("split", "structures", "energy MAE, meV/atom", "force MAE, meV/Å", "of mean |F|"):
        table.add_column(heading, justify="left" if heading == "split" else "right")
    for split, facts in results["data"].items():
        error = results["metrics"].get(f"{split}/forces_mae")
        if error is None:
            continue
        energy = results["metrics"][f"{split}/energy_mae_per_atom"]
        size = facts["mean_absolute_force"]
        ratio = f"1/{size / error:.1f}" if error else "-"
        table.add_row(split, f"{facts['structures']:,}", f"{1000 * energy:.1f}", f"{1000 * error:.1f}", ratio)
    return table


def smoothness_table(metrics: dict, history: list[dict], stage: str) -> Table:
    """Force smoothness deviation beside its value in the first epoch and of zero forces."""
    table = Table(title=f"Force smoothness deviation, 1/Å, mean over the {stage} scans", title_justify="left")
    first = history[0] if history and stage == "val" else {}
    table.add_column("region")
    for heading in (*(["first epoch"] if first else []), "now", "zero forces"):
        table.add_column(heading, justify="right")
    for key, label in SMOOTHNESS.items():
        values = [metrics[f"{stage}/bsct/{key}"], metrics[f"{stage}/bsct/zero_{key}"]]
        if first:
            values.insert(0, first[f"{stage}/bsct/{key}"])
        table.add_row(label, *(f"{value:.1f}" for value in values))
    return table


def next_command(overrides: list[str]) -> str:
    """A sensible continuation: the flawed architecture to compare with, or else a longer run."""
    kept = [override for override in overrides if not override.startswith(("model=", "experiment="))]
    if "model=baseline" not in overrides:
        return " ".join(["python train.py model=baseline", *kept]) + "   (the same training, without the remedies)"
    return " ".join(["python train.py experiment=long", *kept])
