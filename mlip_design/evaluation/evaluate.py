"""A model on a set of structures: predictions as a file, errors where there are labels, names of what went wrong."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ase
import ase.io
from ase.calculators.singlepoint import SinglePointCalculator
from tqdm import tqdm

from mlip_design.data.formats.contract import Entry, Labels
from mlip_design.evaluation.collected import Collected
from mlip_design.evaluation.errors import errors, worst
from mlip_design.evaluation.frames import GROUP, read_frames
from mlip_design.evaluation.predicting import Predicted, predicted
from mlip_design.evaluator import Evaluator
from mlip_design.files import replacing
from mlip_design.structures import StructureError

SCHEMA = 1
N_WORST = 20
"""Structures named for their forces, and for their energies."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model evaluated on a source."""

    facts: dict[str, Any]
    """What `evaluation.json` holds."""
    collected: Collected
    """What it was computed from."""


def evaluate(
    evaluator: Evaluator, source: Path, labels: Labels, predictions: Path | None = None, progress: bool = False
) -> Evaluation:
    """Predict every structure of a file, store or folder, and compare with the labels that there are.

    labels: names of labels and of what groups structures. predictions: extended XYZ of all structures, with `energy`,
    `forces` and `stress` as predicted, or `failed`. progress: show a progress bar. Raises ValueError or
    FileNotFoundError for a source that cannot be read; there are no predictions then.
    """
    collected, failed, left_out = Collected(), {}, {}
    with replacing(predictions) if predictions is not None else nullcontext() as file:
        for one in predicted(evaluator, bar_of(read_frames(source, labels), progress)):
            if one.entry.structure is None:
                left_out[one.entry.name] = one.entry.reason
                continue
            if one.failure is None:
                collected.add(one)
            else:
                failed[one.entry.name] = one.failure
            if file is not None:
                write_frame(file, one, labels)
        if not (collected.names or failed):
            name, reason = next(iter(left_out.items()))
            raise StructureError(f"none of {len(left_out)} structures can be used; {name}: {reason}")
        if labels.group is not None and collected.names and not any(collected.groups):
            raise StructureError(f"{source}: --group-by {labels.group}: no structure has it")
    facts = {
        "schema": SCHEMA,
        "model": evaluator.name,
        "source": str(source),
        "group_by": labels.group or GROUP,
        "predicted": len(collected.names),
        "failed": failed,
        "left_out": left_out,
        **errors(collected),
        "worst": worst(collected, N_WORST),
    }
    return Evaluation(facts, collected)


def bar_of(entries: Iterator[Entry], progress: bool) -> Iterator[Entry]:
    """The entries, with a bar of how much of the source was read on a terminal."""
    form = "{desc} {percentage:3.0f}% |{bar}| {postfix} [{elapsed}<{remaining}]"
    with tqdm(total=1.0, desc="eval", bar_format=form, disable=None if progress else True, leave=False) as bar:
        for count, entry in enumerate(entries, start=1):
            yield entry
            bar.set_postfix_str(f"{count:,} structures", refresh=False)
            bar.update(max(entry.fraction - bar.n, 0.0))


def write_frame(file: IO, one: Predicted, labels: Labels) -> None:
    """Add a structure and its predictions, or why it has none, to an extended XYZ file."""
    structure, group = one.entry.structure, one.entry.group
    info = {"source": one.entry.name} | ({} if group is None else {labels.group or GROUP: group})
    info |= {} if one.failure is None else {"failed": one.failure}
    atoms = ase.Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc, info=info)
    if one.failure is None:
        results = {"energy": one.energy, "forces": one.forces}
        results |= {} if one.stress is None else {"stress": one.stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]}
        atoms.calc = SinglePointCalculator(atoms, **results)
    ase.io.write(file, atoms, format="extxyz")
