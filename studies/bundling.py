"""`python -m studies.bundling RUN NAME`: a run becomes the model NAME-bundled of the package, with a card."""

import argparse
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlip_design.export import export
from mlip_design.stored_model import BUNDLED, MODELS
from studies.records import table

CARD = "README.md"
ROWS = {
    "force MAE, meV/Å": ("forces_mae", 1000, ".0f"),
    "energy MAE, meV/atom": ("energy_mae_per_atom", 1000, ".1f"),
    "FSD, 1/Å": ("bsct/full_smoothness", 1, ".1f"),
    "FSD of zero forces": ("bsct/zero_full_smoothness", 1, ".1f"),
    "FSD away from equilibrium": ("bsct/windowed_smoothness", 1, ".1f"),
}


@dataclass(frozen=True)
class Origin:
    """What a model was trained on, by the choice of `data=`: in words, its test splits by heading, its limits."""

    data: str
    splits: Mapping[str, str]
    limits: str


ORIGINS = {
    "bundled": Origin(
        data="GFN2-xTB structures of the package (MIT)",
        splits={"known molecules, scans of new ones": "test", "new molecules": "test_new"},
        limits="""Known molecules: other frames of those that training saw. Limits:

- Small neutral molecules in the gas phase, near equilibrium or with one bond stretched; what it says of
  crystals, liquids, ions, radicals and reactions is extrapolation, and other elements are refused.
- Its level of theory is that of its data, GFN2-xTB, a semi-empirical one.
- It is an example of what the project trains in minutes, to try things with, not a potential for production.
""",
    ),
    "bsct": Origin(
        data="frames of BSCT-SPICE at wB97M-D3(BJ)/def2-TZVPPD (MIT; from the repository `bsct` of arXiv:2602.04861)",
        splits={"systems that training never saw": "test"},
        limits="""FSD of whole scans, errors of every fourth frame of them. Limits:

- Held out by system: some of these molecules are in training as another conformer, or with another bond broken.
- Molecules of 5 to 50 atoms in the gas phase, relaxed, with one bond from half to twice its length; its data have no
  thermal frames. What it says of crystals, liquids, ions, radicals and reactions is extrapolation, and other elements
  are refused.
- A model whose name stands at `init_from=` has lent its weights, and with them what it learnt of its own data.
- It is an example of what the project trains in minutes, to try things with, not a potential for production.
""",
    ),
}


def bundle(run: Path, name: str) -> Path:
    """Replace models/NAME of the package by the best epoch of a run; returns the folder."""
    folder = MODELS / name
    shutil.rmtree(folder, ignore_errors=True)
    described = export(run, folder)
    (folder / CARD).write_text(card(name, described), encoding="utf-8")
    return folder


def card(name: str, described: dict[str, Any]) -> str:
    """What a user should know, from what `model.yaml` says."""
    training, metrics = described["training"], described["metrics"]
    choices = dict(override.split("=", 1) for override in training["overrides"])
    origin = ORIGINS[choices.get("data", "bundled")]
    splits = origin.splits.values()
    rows = []
    for heading, (key, factor, form) in ROWS.items():
        values = [metrics.get(f"{split}/{key}") for split in splits]
        rows.append([heading, *("" if value is None else f"{factor * value:{form}}" for value in values)])
    zero = [f"{1000 * training['data'][split]['mean_absolute_force']:.0f}" for split in splits]
    rows.insert(1, ["force MAE of zero forces", *zero])
    command = " ".join(["python train.py", *training["overrides"]])
    count = training["data"]["train"]["structures"]
    about = (
        f"{described['parameters']:,} parameters, {described['precision']}, cutoff {described['cutoff']:g} Å; knows "
        f"{', '.join(described['elements'])}. Trained by `{command}` (seed {training['seed']}, epoch "
        f"{training['epochs']} by force MAE on validation) on {count:,} {origin.data}."
    )
    title = f"# {name}{BUNDLED}\n\n{about}\n"
    return "\n".join([title, table(["best epoch", *origin.splits], rows), f"\n{origin.limits}"])


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser("python -m studies.bundling", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    args = parser.parse_args()
    print(bundle(args.run, args.name))


if __name__ == "__main__":
    main()
