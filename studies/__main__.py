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
from studies import evidence, value
from studies.measuring import measure_all
from studies.records import Records, load
from studies.training import plan
from studies.variants import N_SEEDS, VARIANTS

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser("python -m studies", description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, default=Path("study"), metavar="DIR", help="runs (default: %(default)s)")
    add("--docs", type=Path, default=ROOT / "docs", metavar="DIR", help="where evidence.md goes (default: docs)")
    add("--workers", type=int, default=os.cpu_count(), metavar="N", help="processes (default: %(default)s)")
    add("--seeds", type=int, default=N_SEEDS, metavar="N", help="of variants with several (default: %(default)s)")
    add("overrides", nargs="*", metavar="KEY=VALUE", help="of all trainings")
    args = parser.parse_args()
    trainings = plan(args.out.resolve(), list(VARIANTS), args.seeds, args.overrides)
    train_all(trainings, args.workers, lambda line: print(line, flush=True))
    measure_all([one.folder for one in trainings if state(one.folder) == "finished"], args.workers)
    records = load(trainings)
    value.simulate_all(records, args.workers)
    folder = args.docs / "evidence"
    for name, study in evidence.STUDIES.items():
        save(folder / f"{name}.json", study.analyse(records))
    save(folder / "cost.json", cost(trainings, records))
    print(evidence.write(folder))


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
        "measuring_hours": sum(sum(record.seconds.values()) for record in every) / 3600,
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
