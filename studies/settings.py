"""What variants are trained on, and the molecules that instruments look at: bundled, BSCT-SPICE, acetylacetone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mlip_design.data.sources import bundled, scans_of_split
from mlip_design.structures import Structure, read_structures
from studies.variants import LADDER, VARIANTS

LARGER_K = "model.neighbors.n_neighbors=12"
"""Of molecules that are larger than the bundled ones."""
SPLIT = {"val": 0.1, "test": 0.2, "seed": 0}
"""Of the systems of BSCT-SPICE, as in conf/data/bsct.yaml."""


@dataclass(frozen=True)
class Setting:
    """A common ground for variants."""

    name: str
    title: str
    variants: Sequence[str]
    budget: Sequence[str]
    """Overrides of all trainings."""
    molecules: Callable[[], list[Structure]]
    """Those that nobody trains on, where the data have such."""
    stages: Sequence[str]
    """Whose scans give the FSD: 'val', scored at the last epoch, 'test', at the best."""
    tested: str
    """What the split `test` holds."""
    about: str
    """What the scans and the molecules of the instruments are."""


def on_bundled() -> Setting:
    """GFN2-xTB, all variants."""
    return Setting(
        "bundled",
        "GFN2-xTB, in the package",
        list(VARIANTS),
        ["experiment=study"],
        new_molecules,
        ("val", "test"),
        "known",
        "Scans are those of validation (scored at the last epoch) and test (at the best one); jumps and dynamics are "
        "those of molecules that neither training nor validation has.",
    )


def on_spice(root: Path) -> Setting:
    """The ladder on the given half of BSCT-SPICE (DFT), split by system; every eighth frame of its scans."""
    budget = ["experiment=study", LARGER_K, "data=bsct", f"data.root={root}", "data.stride=8"]
    return Setting(
        "spice",
        "BSCT-SPICE (DFT), split by system",
        list(LADDER),
        budget,
        partial(held_out, root),
        ("test",),
        "held-out systems",
        "Scans, jumps and dynamics are those of systems of the test, which neither training nor the choice of the "
        "epoch saw.",
    )


def on_acac(root: Path) -> Setting:
    """The ladder on acetylacetone at 300 K (PBE-D3)."""
    files = [f"data.train={root / 'train_300K.xyz'}", f"data.test={root / 'test_MD_300K.xyz'}"]
    budget = [
        "experiment=study",
        LARGER_K,
        "data=extxyz",
        *files,
        "trainer.max_epochs=60",
        "batching.max_atoms=75",
    ]
    return Setting(
        "acac",
        "acetylacetone (PBE-D3)",
        list(LADDER),
        budget,
        partial(frames, root),
        (),
        "frames of another trajectory at 300 K",
        "One molecule, the same in training and test. There is no FSD: the set has no scans at its level of theory. "
        "Survival says little here: the proton of the enol may hop from oxygen to oxygen, and then counts as a bond "
        "that comes apart.",
    )


def new_molecules() -> list[Structure]:
    """One structure of every molecule that neither training nor validation has."""
    found = bundled()["test_new"]
    every = [found[index] for index in range(len(found))]
    return [one for one, last in zip(every, [None, *every], strict=False) if last is None or is_other(one, last)]


def is_other(one: Structure, last: Structure) -> bool:
    """Whether two structures are of different molecules."""
    return not np.array_equal(one.numbers, last.numbers)


def held_out(root: Path) -> list[Structure]:
    """Of some scans of the test, the frame of lowest energy."""
    scans = scans_of_split(str(root), "test", **SPLIT)
    lowest = [(scan, int(np.argmin(scan.energies))) for scan in scans[:: max(len(scans) // 6, 1)]]
    nowhere, none = np.zeros((3, 3)), np.zeros(3, dtype=bool)
    return [Structure(scan.numbers, scan.positions[frame], nowhere, none) for scan, frame in lowest]


def frames(root: Path) -> list[Structure]:
    """Ten frames of the test."""
    found = list(read_structures(root / "test_MD_300K.xyz"))
    return found[:: len(found) // 10]
