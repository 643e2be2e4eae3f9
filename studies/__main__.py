"""`python -m studies`: train, measure, simulate, and write docs/evidence.md; goes on where it was stopped."""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mlip_design.bsct.result import finite
from mlip_design.files import replacing
from mlip_design.selection.retrain import Training, is_over, state, train_all
from studies import coverage, evidence, ladder, value
from studies.measuring import INSTRUMENTS, measure_all
from studies.records import Records, load
from studies.settings import Setting, on_acac, on_bundled, on_spice
from studies.training import plan
from studies.variants import N_SEEDS

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser("python -m studies", description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, default=Path("study"), metavar="DIR", help="runs (default: %(default)s)")
    add("--docs", type=Path, default=ROOT / "docs", metavar="DIR", help="where evidence.md goes (default: docs)")
    add("--workers", type=int, default=os.cpu_count(), metavar="N", help="processes (default: %(default)s)")
    add("--seeds", type=int, default=N_SEEDS, metavar="N", help="of variants with several (default: %(default)s)")
    add("--spice", type=Path, metavar="DIR", help="the ladder on BSCT-SPICE as well, its published layout")
    add("--acac", type=Path, metavar="DIR", help="the ladder on acetylacetone as well, train_300K.xyz and so on")
    add("overrides", nargs="*", metavar="KEY=VALUE", help="of all trainings")
    args = parser.parse_args()
    settings = [on_bundled()]
    settings += [on_spice(args.spice.resolve())] if args.spice else []
    settings += [on_acac(args.acac.resolve())] if args.acac else []
    folder = args.docs / "evidence"
    for setting in settings:
        trainings = plan(args.out.resolve(), setting, args.seeds, args.overrides)
        records = trained_and_measured(trainings, setting, args.workers)
        if setting.name == "bundled":
            coverage.measure_all(records, args.workers)
            value.simulate_all(records, args.workers)
            save(folder / "ladder.json", ladder.analyse(records, setting))
            for name in ("factorial", "coverage", "correlation", "value"):
                save(folder / f"{name}.json", evidence.STUDIES[name].analyse(records))
        else:
            save(folder / f"ladder_{setting.name}.json", ladder.analyse(records, setting))
        add_cost(folder, setting, cost(trainings, records))
        print(evidence.write(folder), flush=True)


def trained_and_measured(trainings: Sequence[Training], setting: Setting, workers: int) -> Records:
    """What has not been done, done."""
    train_all(trainings, workers, lambda line: print(f"{setting.name}: {line}", flush=True))
    finished = [one.folder for one in trainings if state(one.folder) == "finished"]
    measure_all(finished, setting.molecules(), workers)
    return load(trainings, setting.stages)


def add_cost(folder: Path, setting: Setting, found: dict[str, Any]) -> None:
    """Note what a setting took, beside those of the others."""
    path = folder / "cost.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    save(path, known | {setting.name: {"title": setting.title, **found}})


def save(path: Path, facts: dict[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as file:
        json.dump(finite(facts), file, indent=1, ensure_ascii=False)
        file.write("\n")


def cost(trainings: Sequence[Training], records: Records) -> dict[str, Any]:
    """What the study took, and on what."""
    every = [record for several in records.values() for record in several]
    return {
        "runs": len(every),
        "epochs": every[0].run.budget["epochs"],
        "structures": every[0].run.data["train"]["structures"],
        "training_hours": sum(record.run.cost["seconds"] for record in every) / 3600,
        "measuring_hours": sum(sum(record.seconds[name] for name in INSTRUMENTS) for record in every) / 3600,
        "machine": f"{os.cpu_count()} cores, {processor()}",
        "torch": torch.__version__,
        "unfinished": [
            f"{one.label} (seed {one.seed}: {state(one.folder)})"
            for one in trainings
            if not is_over(one.folder) or state(one.folder) != "finished"
        ],
    }


def processor() -> str:
    """Its name, if the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


if __name__ == "__main__":
    main()
