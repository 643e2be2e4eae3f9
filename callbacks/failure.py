"""The record of a trial that failed before, or without, keeping one itself."""

import json

from callbacks.results import Results, finite
from mlip_design.files import replacing
from mlip_design.selection.runs import Run
from mlip_design.sweep.record import is_over, recorded


def leave_record(results: Results, reason: str) -> Run:
    """Say in results.json that a run failed, and why, unless it says how the run ended; the record as it is then.

    results: as it would be of a run that does not start. What an earlier part of the run recorded stays.
    """
    folder = results.folder
    run = recorded(folder)
    if is_over(run):
        return run
    content = (
        results.as_dict() if run is None else json.loads((folder / "results.json").read_text(encoding="utf-8"))
    )
    with replacing(folder / "results.json") as file:
        json.dump(finite({**content, "status": "failed", "reason": reason}), file, indent=1, allow_nan=False)
        file.write("\n")
    return recorded(folder)
