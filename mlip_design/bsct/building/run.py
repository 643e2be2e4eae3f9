"""A whole build: from structures to a folder of scans in the published layout. It can be stopped and taken up again."""

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from mlip_design.bsct.building.jobs import prepare, prepared, scan, write
from mlip_design.bsct.building.kinds import find_motions
from mlip_design.bsct.building.motions import STRUCTURE, LeftOut
from mlip_design.bsct.building.recipe import Recipe, Source, evaluator_of, fingerprint
from mlip_design.processes import Processes

SCHEMA = 1


def build_scans(out: Path, recipe: Recipe, sources: Sequence[Source], n_processes: int) -> dict:
    """Build the scans of some structures into a folder, which is new, or holds the same build unfinished.

    Returns what `<out>/build.json` holds as well: "settings", "systems" (by "<group>/<system_id>": source, frames,
    frames without a label and their reasons) and "left_out" (group, source and reason of each). Raises ValueError for
    settings that differ from the folder's, for a folder of something else, and while another build is at work in it.
    """
    settings = describe(recipe, sources)
    if recipe.takes_stress and not evaluator_of(recipe).has_stress:
        raise ValueError(
            f"--calculator: {recipe.calculator} gives no stress, with which {recipe.kind} scans are labelled"
        )
    out.mkdir(parents=True, exist_ok=True)
    with alone(out):
        record = out / "build.json"
        check_same(record, settings)
        write(out, record, as_json({"schema": SCHEMA, "settings": settings}))
        with Processes(n_processes) as processes:
            jobs = [(out, recipe, index, source) for index, source in enumerate(sources)]
            run(processes, prepare, jobs, "relax" if recipe.relax else "label", "structure")
            made = make_scans(out, recipe, sources, processes)
        result = {"schema": SCHEMA, "settings": settings} | made
        write(out, record, as_json(result))
        if not any(entry.is_dir() for entry in (out / ".partial" / "systems").glob("*/*")):
            shutil.rmtree(out / ".partial")
    return result


def describe(recipe: Recipe, sources: Sequence[Source]) -> dict:
    """The settings of a build, which a folder must share to be taken up again."""
    content = {"calculator_fingerprint": evaluator_of(recipe).fingerprint, "structures": fingerprint(sources)}
    return json.loads(json.dumps(asdict(recipe) | content))


def check_same(record: Path, settings: dict) -> None:
    """Raise ValueError if the folder holds another build, or something else."""
    if not record.exists():
        if any(not entry.name.startswith(".") for entry in record.parent.iterdir()):
            raise ValueError(f"--out: {record.parent} holds files but no build.json; name a new folder")
        return
    try:
        before = json.loads(record.read_text(encoding="utf-8"))["settings"]
        known = {key: before[key] for key in settings}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{record}: not the record of a build ({error!r})") from error
    for key, value in settings.items():
        if known[key] != value:
            raise ValueError(f"{record}: was begun with {key} {known[key]}, not {value}; name a new --out")


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold the folder until this process ends, however it does. Raises ValueError if another holds it."""
    with open(out / ".lock", "a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"--out: another build is at work in {out}") from None
        yield


def make_scans(out: Path, recipe: Recipe, sources: Sequence[Source], processes: Processes) -> dict:
    """Make every scan of the prepared structures; "systems" and "left_out" of the record."""
    jobs, names, left_out = [], {}, []

    def leave_out(group: str, source: str, reason: str) -> None:
        left_out.append({"group": group, "source": source, "reason": reason})

    for index, (source, _) in enumerate(sources):
        structure, reason = prepared(out, index)
        for found in [LeftOut(STRUCTURE, reason)] if reason else find_motions(structure, recipe):
            if isinstance(found, LeftOut):
                leave_out(found.group, source, found.reason)
            else:
                system_id = found.system_id(index)
                jobs.append((out, recipe, index, source, system_id))
                names[system_id] = found.group

    systems = {}
    for (*_, source, system_id), made in run(processes, scan, jobs, "scan", "system"):
        group = names[system_id]
        if made.whole:
            counts = {"frames": recipe.frames, "without_label": made.failures.total()}
            systems[f"{group}/{system_id}"] = {"source": source, **counts, "failures": dict(made.failures)}
        else:
            why = made.failures.most_common(1)[0][0]
            leave_out(group, source, f"{made.kept} of {recipe.frames} frames have a label ({why})")
    left_out.sort(key=lambda entry: (entry["group"], entry["source"]))
    return {"systems": dict(sorted(systems.items())), "left_out": left_out}


def run(processes: Processes, function: Callable, jobs: list[tuple], name: str, unit: str) -> list[tuple]:
    """Jobs and their results, with a progress bar on a terminal. A KeyboardInterrupt says how many are done."""
    done = []
    try:
        done.extend(tqdm(processes.spread(function, jobs), name, len(jobs), unit=unit, disable=None))
    except KeyboardInterrupt:
        reached = f"stopped after {len(done)} of {len(jobs)} {unit}s"
        raise KeyboardInterrupt(f"{reached}; the same command goes on") from None
    return done


def as_json(content: dict) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
