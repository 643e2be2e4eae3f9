"""`report.html` of several runs: their Pareto front, picks, what the choices matter for, seeds, and every variant."""

import os
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from mlip_design.report import sweep_figures
from mlip_design.report.page import write_page
from mlip_design.report.sweep_tables import all_runs, held_out, left_out, variants
from mlip_design.selection.quantities import quantity
from mlip_design.selection.runs import Run
from mlip_design.selection.selection import Selection


def write_sweep_page(folder: Path, selection: Selection) -> Path:
    """Write `report.html`, about 5 MB, into a folder that holds the compared runs; returns its path."""
    links = {str(run.folder): link(run, folder) for variant in selection.variants for run in variant.runs}
    figures = {"pareto": sweep_figures.pareto(selection, links)}
    if len(selection.variants) > 1:
        figures["importance"] = sweep_figures.importance(selection)
        figures["parallel"] = sweep_figures.parallel(selection)
    if any(len(variant.runs) > 1 for variant in selection.variants):
        figures["seeds"] = sweep_figures.seeds(selection, links)
    names = " and ".join(quantity(name).name for name in selection.objectives)
    return write_page(
        folder / "report.html",
        "sweep.html",
        title=f"{len(selection.variants)} variants by {names}",
        y_name=quantity(selection.y).name,
        selection=selection,
        tiles=tiles(selection),
        figures=figures,
        plotly=Markup(get_plotlyjs()),
        variants=variants(selection, links),
        runs=all_runs(selection, links),
        left_out=left_out(selection, folder),
        held_out=held_out(selection),
    )


def link(run: Run, folder: Path) -> str:
    """What opens a run from a page in `folder`: its page, or the folder itself if it has none."""
    page = run.folder / "report.html"
    path = page if page.exists() else run.folder
    return quote(os.path.relpath(path.resolve(), folder.resolve()))


def tiles(selection: Selection) -> list[tuple[str, str, str]]:
    """The numbers at the head of the page: name, value, and what belongs to it."""
    corner = " and ".join(
        f"{quantity(name).text(one.value)} ({one.meaning})" for name, one in selection.references.items()
    )
    found = selection.correlation
    interval = f"95 %: {found.low:.2f} to {found.high:.2f}" if found else "too few variants"
    return [
        ("variants", str(len(selection.variants)), f"{selection.n_runs} runs"),
        ("on the front", str(len(selection.front)), f"{len(selection.warnings)} variants with a warning"),
        ("left out", str(len(selection.left_out)), "failed, stopped, diverged, unreadable or repeated"),
        ("hypervolume of the front", f"{selection.hypervolume:.4g}", f"to {corner}"),
        ("rank correlation of x and y", f"{found.rho:.2f}" if found else "–", interval),
    ]
