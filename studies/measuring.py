"""The same instruments on every trained run; what they say is kept in measured.json of its folder.

All of them look at the best epoch's averaged weights in float64, with one thread, and note the seconds they took. Scans
need none: training scores them.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mlip_design.bsct.probe.paths import Path as ProbePath
from mlip_design.bsct.probe.result import NoPredictionError
from mlip_design.bsct.probe.walk import Walk, find_path, walk
from mlip_design.bsct.result import finite
from mlip_design.bsct.symmetry import asymmetry, force_jacobian
from mlip_design.dynamics.force_field import force_field_of
from mlip_design.dynamics.measure import measure, summarize
from mlip_design.dynamics.protocol import Protocol
from mlip_design.dynamics.simulate import relax_all, simulate
from mlip_design.evaluator import PotentialEvaluator
from mlip_design.files import replacing
from mlip_design.processes import Processes
from mlip_design.structures import Structure

RECORD = "measured.json"
N_PROBED, N_DIFFERENTIATED, N_SIMULATED = 2, 5, 10
"""Molecules that an instrument looks at."""
MAX_EVALUATIONS = (2000, 20000)
"""Of the probe, along one path; the second where the first did not do and no jump was found."""
PROTOCOL = Protocol(steps=2000)
"""NVE at 300 K in steps of 0.5 fs for 1 ps: over less, a line through a smooth model's oscillations has a slope."""


def probe(evaluator: PotentialEvaluator, molecules: Sequence[Structure]) -> dict[str, Any]:
    """Largest jumps while two neighbours exchange rank and while one crosses the cutoff; eV and eV/Å."""
    energy, force, evaluations, unfinished = 0.0, 0.0, 0, 0
    for structure, kind in product(molecules[:N_PROBED], ("swap", "cutoff")):
        try:
            found = walked(evaluator, find_path(structure, kind, evaluator.potential.cutoff))
        except NoPredictionError:
            unfinished += 1
            continue
        energy, force = max(energy, found.largest_energy_jump), max(force, found.largest_force_jump)
        evaluations, unfinished = evaluations + found.probe.n_evaluations, unfinished + found.probe.exhausted
    return {"energy_jump": energy, "force_jump": force, "evaluations": evaluations, "unfinished": unfinished}


def walked(evaluator: PotentialEvaluator, path: ProbePath) -> Walk:
    """A walk; where it spends its evaluations without finding a jump, another with more."""
    for most in MAX_EVALUATIONS:
        found = walk(evaluator, path, most)
        if not found.probe.exhausted or found.largest_force_jump > 0:
            break
    return found


def derivatives(evaluator: PotentialEvaluator, molecules: Sequence[Structure]) -> dict[str, Any]:
    """Of J = dF/dx: asymmetry, dimensionless, and largest singular value, eV/Å^2; means over molecules."""
    asymmetries, norms = [], []
    for structure in molecules[:N_DIFFERENTIATED]:
        jacobian = force_jacobian(evaluator, structure)
        asymmetries.append(asymmetry(jacobian))
        norms.append(np.linalg.norm(jacobian, 2))
    return {"jacobian_asymmetry": float(np.mean(asymmetries)), "hessian_norm": float(np.mean(norms))}


def dynamics(evaluator: PotentialEvaluator, molecules: Sequence[Structure]) -> dict[str, Any]:
    """`summarize` of the dynamics of some molecules."""
    return simulated(evaluator, molecules[:: -(-len(molecules) // N_SIMULATED)], PROTOCOL)


def simulated(
    evaluator: PotentialEvaluator, structures: Sequence[Structure], protocol: Protocol
) -> dict[str, Any]:
    """`summarize` of one trajectory of every structure; of those that end early, what `conserved` says."""
    forces = force_field_of(evaluator)
    starts = relax_all(forces, dict(enumerate(structures)), protocol, evaluator.max_atoms)
    found = simulate(forces, starts, protocol, [1], evaluator.max_atoms)
    measured = [measure(trajectory, protocol) for trajectory in found]
    return summarize(measured) | conserved(measured, protocol)


def conserved(measured: Sequence[dict[str, Any]], protocol: Protocol) -> dict[str, float]:
    """Of the size of the drift (meV/atom/ps) median and largest, of the fluctuation (meV/atom) the median, over all.

    A trajectory that ended early has neither: it counts as if its energy had gone off by all that the protocol allows.
    """
    limit, length = 1000 * protocol.energy_change, protocol.steps * protocol.time_step / 1000
    worst = {"drift": limit / length, "fluctuation": limit}
    sizes = {
        name: [most if one[name] is None else abs(one[name]) for one in measured] for name, most in worst.items()
    }
    medians = {name: float(np.median(values)) for name, values in sizes.items()}
    return medians | {"largest_drift": max(sizes["drift"])}


INSTRUMENTS: dict[str, Callable[[PotentialEvaluator, Sequence[Structure]], dict[str, Any]]] = {
    "probe": probe,
    "derivatives": derivatives,
    "dynamics": dynamics,
}


def measure_all(folders: Sequence[Path], molecules: Sequence[Structure], workers: int) -> None:
    """Measure what has not been measured of finished runs, `workers` at a time."""
    waiting = [(folder, molecules) for folder in folders if set(known(folder)) < set(INSTRUMENTS)]
    shown = tqdm(total=len(waiting), desc="measure", leave=False, disable=None, file=sys.stdout)
    with shown, Processes(min(workers, max(len(waiting), 1))) as processes:
        for _ in processes.spread(measure_run, waiting):
            shown.update()


def measure_run(folder: Path, molecules: Sequence[Structure]) -> None:
    """Put the instruments on a run that have not been there, each kept as soon as it is done."""
    evaluator, found = PotentialEvaluator(folder), known(folder)
    for name, instrument in INSTRUMENTS.items():
        if name not in found:
            started = time.perf_counter()
            found[name] = instrument(evaluator, molecules)
            found[name]["seconds"] = time.perf_counter() - started
            with replacing(folder / RECORD) as file:
                json.dump(finite(found), file)


def known(folder: Path) -> dict[str, Any]:
    """Instrument -> what it said of a run; empty where none was put on it."""
    path = folder / RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
