"""The pages of a folder: of the run or the BSCT result in it, or of all runs below it and of their comparison."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from mlip_design.bsct.result import FACTS
from mlip_design.report.bsct_page import write_bsct_page
from mlip_design.report.run_page import write_run_page
from mlip_design.report.sweep_page import write_sweep_page
from mlip_design.selection import compare, load_runs
from mlip_design.selection.comparison import EPSILON, X, Y


def write_reports(
    folder: Path,
    x: str = X,
    y: str = Y,
    epsilon: float = EPSILON,
    allow_mixed: bool = False,
    also: Sequence[str] = (),
) -> list[Path]:
    """Write `report.html` into a run folder or that of a BSCT result, or into all runs below and, last, the folder.

    x, y, epsilon, allow_mixed, also: of the comparison, as `mlip_design.selection.compare` takes them. Returns the
    paths of the pages. Raises ValueError, before anything is written, for a folder without a run that can be read, and
    for runs that cannot be compared.
    """
    if (folder / FACTS).exists():
        return [write_bsct_page(folder)]
    runs, unreadable = load_runs([folder])
    if (folder / "results.json").exists():
        for file, why in unreadable.items():
            raise ValueError(f"{file}: {why}")
        return [write_run_page(folder)]
    selection = compare(runs, x, y, epsilon, allow_mixed, unreadable, also=also)
    pages = [write_run_page(run.folder) for run in tqdm(runs, "pages of runs", leave=False, disable=None)]
    return [*pages, write_sweep_page(folder, selection)]
