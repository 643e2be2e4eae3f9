"""`mlip-design md`: a model's dynamics of the structures of a file, kept in a folder; docs/dynamics.md describes it.

setup.json        what was asked for; the same question goes on, another one is refused
result.json       numbers of all trajectories, and summed up
dynamics.png      total energy and temperature over time (time_steps.png: deviation over time step)
trajectories/     extended XYZ, one file each
state/            from which a simulation that was killed goes on
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mlip_design.bsct.result import finite, save_facts
from mlip_design.bsct.scoring import versions
from mlip_design.dynamics.figure import draw_time_steps, draw_trajectories
from mlip_design.dynamics.force_field import ForceField, force_field_of
from mlip_design.dynamics.measure import measure, summarize
from mlip_design.dynamics.protocol import Protocol
from mlip_design.dynamics.result import DynamicsError
from mlip_design.dynamics.simulate import Starts, relax_all, simulate
from mlip_design.dynamics.time_step_test import judge, protocols
from mlip_design.evaluator import Evaluator, PotentialEvaluator, digest
from mlip_design.files import replacing
from mlip_design.structures import Structure

SCHEMA = 1
SETUP, RESULT = "setup.json", "result.json"
MAX_ATOMS = 512
"""That move at once."""


@dataclass(frozen=True, eq=False)
class Question:
    """What is simulated."""

    evaluator: Evaluator
    structures: Sequence[Structure]
    protocol: Protocol
    seeds: Sequence[int]
    max_atoms: int = MAX_ATOMS

    def relaxed(self, folder: Path, progress: bool) -> Starts:
        """The starts of all trajectories; folder: of what a killed relaxation left."""
        numbered = dict(enumerate(self.structures))
        return relax_all(self.force_field, numbered, self.protocol, self.max_atoms, folder, progress)

    @cached_property
    def force_field(self) -> ForceField:
        """What moves the atoms."""
        return force_field_of(self.evaluator)


def run(question: Question, folder: Path, progress: bool = False) -> dict[str, Any]:
    """Simulate, or go on; the facts of `result.json`. Raises ValueError or OSError for what cannot be done."""
    started = time.perf_counter()
    facts = open_folder(question, folder, "dynamics")
    state, protocol = folder / "state", question.protocol
    starts = question.relaxed(state, progress)
    found = simulate(
        question.force_field,
        starts,
        protocol,
        question.seeds,
        question.max_atoms,
        state,
        folder / "trajectories",
        progress=progress,
    )
    measured = [measure(trajectory, protocol) for trajectory in found]
    draw_trajectories(found).savefig(folder / "dynamics.png", dpi=130)
    return closed(folder, facts | {"summary": summarize(measured), "trajectories": measured}, started)


def run_time_steps(question: Question, folder: Path, progress: bool = False) -> dict[str, Any]:
    """The same trajectories at several time steps, and whether the model is smooth; otherwise as `run`."""
    started = time.perf_counter()
    facts = open_folder(question, folder, "time-step test")
    starts = question.relaxed(folder / "state", progress)
    steps, found, runs = protocols(question.protocol), [], {}
    for one in steps:
        state, seeds = folder / "state" / f"{one.time_step:g}", question.seeds
        found.append(
            simulate(question.force_field, starts, one, seeds, question.max_atoms, state, progress=progress)
        )
        runs[f"{one.time_step:g}"] = summarize([measure(trajectory, one) for trajectory in found[-1]])
    test = judge([one.time_step for one in steps], found)
    draw_time_steps(test).savefig(folder / "time_steps.png", dpi=130)
    return closed(folder, facts | {"time_step_test": test, "by_time_step": runs}, started)


def open_folder(question: Question, folder: Path, kind: str) -> dict[str, Any]:
    """Write down what is asked for. Raises DynamicsError if the folder holds the answer to something else."""
    evaluator, structures = question.evaluator, question.structures
    if isinstance(evaluator, PotentialEvaluator):
        for number, structure in enumerate(structures):
            evaluator.potential.check_elements(structure.numbers, f"structure {number}")
    arrays = [array for s in structures for array in (s.numbers, s.positions, s.cell, s.pbc)]
    asked = {
        "schema": SCHEMA,
        "kind": kind,
        "model": {"name": evaluator.name, "fingerprint": evaluator.fingerprint},
        "structures": {"count": len(structures), "fingerprint": digest(*(array.tobytes() for array in arrays))},
        "protocol": asdict(question.protocol),
        "seeds": list(question.seeds),
        "max_atoms": question.max_atoms,
    }
    path = folder / SETUP
    if path.exists():
        refuse_other(path, asked)
    else:
        if folder.exists() and any(folder.iterdir()):
            raise DynamicsError(f"--out: {folder} is neither empty nor a folder of md; choose another")
        with replacing(path) as file:
            json.dump(asked, file, indent=1, ensure_ascii=False)
    return asked | {"versions": versions()}


def refuse_other(path: Path, asked: dict[str, Any]) -> None:
    """Raise DynamicsError naming what differs from what a folder was made for."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        known["model"]["name"] = asked["model"]["name"]  # the same files by another path
    except (ValueError, KeyError, TypeError) as error:
        raise DynamicsError(f"{path}: cannot be read ({error}); choose another --out") from error
    differing = [name for name in asked if known.get(name) != asked[name]]
    if "protocol" in differing:
        own, other = asked["protocol"], known["protocol"]
        differing += [f"{key} {other.get(key)}, not {own[key]}" for key in own if other.get(key) != own[key]]
        differing.remove("protocol")
    if differing:
        raise DynamicsError(f"--out: {path.parent} was made with another {'; '.join(differing)}; choose another")


def closed(folder: Path, facts: dict[str, Any], started: float) -> dict[str, Any]:
    """Write `result.json`."""
    facts = finite(facts | {"seconds": time.perf_counter() - started})
    save_facts(folder / RESULT, facts)
    return facts
