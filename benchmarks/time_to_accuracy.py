"""Time to accuracy: force error over wall time, our backbones and MACE on the same structures with the same time.

    python benchmarks/time_to_accuracy.py TRAIN TEST --isolated FILE --out DIR [--minutes 20] [--threads 2]
        [--models smooth_attn,equivariant,invariant] [--mace PYTHON]

A tenth of TRAIN, the same for all, is set aside for validation. Every contender first trains for four epochs, whose
pace says how many epochs fit into the time, then from the start for so many: its learning rate falls to the end of its
own budget. Ours are `python train.py model=NAME data=extxyz batching.max_atoms=75`, otherwise the project's defaults.
MACE is `mace_run_train` of the environment of PYTHON with the recipe of its README, two layers of 32 scalar channels,
batches of five structures, the energies of the isolated atoms of FILE, and float32, as ours.

Leaves DIR/time_to_accuracy.json and .png, and prints the table. A contender that has finished is not trained again.
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import ase.io
import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
PACE_EPOCHS = 4
MACE_EPOCH = re.compile(r"^(\S+ \S+) INFO: Epoch (\d+): .*MAE_F= *([0-9.]+) meV", re.MULTILINE)
MACE_START = re.compile(r"^(\S+ \S+) INFO: Started training", re.MULTILINE)
MACE_SIZE = (
    "import sys, torch; print(sum(p.numel() for p in torch.load(sys.argv[1], weights_only=False).parameters()))"
)


def split(train: Path, folder: Path) -> tuple[Path, Path]:
    """Write train.xyz and val.xyz, a tenth of the structures drawn with a fixed seed."""
    frames = ase.io.read(train, ":")
    order = np.random.default_rng(1).permutation(len(frames))
    n_val = len(frames) // 10
    for name, chosen in (("train", order[n_val:]), ("val", order[:n_val])):
        ase.io.write(folder / f"{name}.xyz", [frames[i] for i in sorted(chosen)], format="extxyz")
    return folder / "train.xyz", folder / "val.xyz"


def run(command: list, log: Path, threads: int, cwd: Path = ROOT) -> None:
    """Run a command with its output in `log`; CalledProcessError where it fails."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    with log.open("w") as out:
        subprocess.run(
            [str(part) for part in command], check=True, stdout=out, stderr=out, cwd=cwd, env=environment
        )


class Ours:
    """A model of this project."""

    def __init__(self, name: str, args: argparse.Namespace):
        self.name, self.args = name, args

    def train(self, folder: Path, epochs: int) -> None:
        """Train into `folder`."""
        files = {"train": self.args.out / "train.xyz", "val": self.args.out / "val.xyz", "test": self.args.test}
        command = [sys.executable, "train.py", f"model={self.name}", "data=extxyz", "batching.max_atoms=75"]
        command += [f"data.{split}={path}" for split, path in files.items()]
        command += [f"threads={self.args.threads}", f"trainer.max_epochs={epochs}", f"hydra.run.dir={folder}"]
        run(command, folder.with_suffix(".log"), self.args.threads)

    def curve(self, folder: Path) -> list[tuple[float, float]]:
        """Seconds of training and force MAE of the validation set in eV/Å, after every epoch."""
        with (folder / "metrics.csv").open(newline="") as lines:
            return [(float(row["seconds"]), float(row["val/forces_mae"])) for row in csv.DictReader(lines)]

    def result(self, folder: Path) -> dict[str, float]:
        """Errors of the test set and parameters."""
        results = json.loads((folder / "results.json").read_text())
        metrics = results["metrics"]
        return {
            "forces_mae": metrics["test/forces_mae"],
            "energy_mae_per_atom": metrics["test/energy_mae_per_atom"],
            "parameters": results["cost"]["parameters"],
        }


class Mace:
    """MACE of another environment."""

    name = "MACE 32x0e"

    def __init__(self, args: argparse.Namespace):
        self.args = args

    def train(self, folder: Path, epochs: int) -> None:
        """Train into `folder`."""
        folder.mkdir(exist_ok=True)
        atoms = {int(a.numbers[0]): float(a.get_potential_energy()) for a in ase.io.read(self.args.isolated, ":")}
        files = {"train": self.args.out / "train.xyz", "valid": self.args.out / "val.xyz"}
        command = [self.args.mace, "-m", "mace.cli.run_train", "--name", "mace", "--model", "MACE", "--seed", 1]
        command += ["--hidden_irreps", "32x0e", "--r_max", 5.0, "--E0s", atoms, "--batch_size", 5]
        for split, path in files.items():
            command += [f"--{split}_file", path]
        command += ["--energy_key", "energy", "--forces_key", "forces", "--max_num_epochs", epochs]
        command += ["--swa", "--start_swa", max(1, 4 * epochs // 5), "--ema", "--ema_decay", 0.99, "--amsgrad"]
        command += [
            "--error_table",
            "PerAtomMAE",
            "--eval_interval",
            1,
            "--device",
            "cpu",
            "--default_dtype",
            "float32",
        ]
        run(command, folder / "out.log", self.args.threads, folder)

    def curve(self, folder: Path) -> list[tuple[float, float]]:
        """See `Ours`."""
        log = (folder / "logs" / "mace_run-1.log").read_text()
        start = datetime.fromisoformat(MACE_START.search(log)[1])
        return [
            ((datetime.fromisoformat(when) - start).total_seconds(), float(error) / 1000)
            for when, _, error in MACE_EPOCH.findall(log)
        ]

    def result(self, folder: Path) -> dict[str, float]:
        """See `Ours`; of the model of the second stage, which is MACE's final one."""
        out, model = folder / "test.xyz", folder / "mace_stagetwo.model"
        command = [self.args.mace, "-m", "mace.cli.eval_configs", "--configs", self.args.test, "--output", out]
        command += ["--model", model, "--device", "cpu", "--default_dtype", "float32"]
        run(command, folder / "eval.log", self.args.threads, folder)
        known, found = ase.io.read(self.args.test, ":"), ase.io.read(out, ":")
        forces = np.concatenate(
            [b.arrays["MACE_forces"] - a.get_forces() for a, b in zip(known, found, strict=True)]
        )
        energies = [
            (b.info["MACE_energy"] - a.get_potential_energy()) / len(a) for a, b in zip(known, found, strict=True)
        ]
        size = subprocess.check_output([self.args.mace, "-c", MACE_SIZE, model], text=True).split()[-1]
        return {
            "forces_mae": float(np.abs(forces).mean()),
            "energy_mae_per_atom": float(np.abs(energies).mean()),
            "parameters": int(size),
        }


def contenders(args: argparse.Namespace) -> Iterator[Ours | Mace]:
    """Ours, in the order asked for, then MACE, if there is an environment of it."""
    yield from (Ours(name, args) for name in args.models.split(","))
    if args.mace:
        yield Mace(args)


def measure(contender: Ours | Mace, args: argparse.Namespace) -> dict:
    """Train for the time that there is; what was measured before is read again."""
    folder = args.out / contender.name.replace(" ", "_")
    record = folder.with_suffix(".json")
    if not record.exists():
        pace = folder.with_name(folder.name + "_pace")
        contender.train(pace, PACE_EPOCHS)
        seconds = [second for second, _ in contender.curve(pace)]
        epoch = (seconds[-1] - seconds[0]) / (len(seconds) - 1)
        epochs = int((60 * args.minutes - seconds[0]) / epoch) + 1
        contender.train(folder, epochs)
        curve = contender.curve(folder)
        facts = {"name": contender.name, "epochs": epochs, "seconds": curve[-1][0], "val": curve}
        record.write_text(json.dumps({**facts, **contender.result(folder)}))
    return json.loads(record.read_text())


def draw(found: list[dict], path: Path) -> None:
    """Force MAE of the validation set over wall time."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for facts in found:
        seconds, errors = np.transpose(facts["val"])
        axes.plot(seconds / 60, 1000 * errors, label=facts["name"])
    axes.set(xlabel="wall time, min", ylabel="force MAE (validation), meV/Å", yscale="log")
    axes.set_ylim(top=300)
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    """Train all, print a table, leave JSON and a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("train", type=lambda p: Path(p).resolve())
    parser.add_argument("test", type=lambda p: Path(p).resolve())
    parser.add_argument("--isolated", type=lambda p: Path(p).resolve())
    parser.add_argument("--out", type=lambda p: Path(p).resolve(), required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", default="smooth_attn,equivariant,invariant")
    parser.add_argument("--mace", help="Python of an environment with mace-torch", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    split(args.train, args.out)
    found = [measure(contender, args) for contender in contenders(args)]
    known = [atoms.get_forces() for atoms in ase.io.read(args.test, ":")]
    zero = float(np.abs(np.concatenate(known)).mean())
    facts = {"minutes": args.minutes, "threads": args.threads, "torch": torch.__version__, "zero_forces": zero}
    (args.out / "time_to_accuracy.json").write_text(json.dumps({**facts, "contenders": found}))
    draw(found, args.out / "time_to_accuracy.png")
    print(
        "| model | parameters | epochs | minutes | force MAE, meV/Å | energy MAE, meV/atom |\n|---|" + "---:|" * 5
    )
    print(f"| zero forces | 0 | | | {1000 * zero:.0f} | |")
    for row in found:
        print(
            f"| {row['name']} | {row['parameters']:,} | {row['epochs']} | {row['seconds'] / 60:.1f} | "
            f"{1000 * row['forces_mae']:.1f} | {1000 * row['energy_mae_per_atom']:.2f} |"
        )


if __name__ == "__main__":
    main()
