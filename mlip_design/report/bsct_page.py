"""`report.html` of a BSCT result: scores beside zero forces, bond types, errors, sensitivity, every scan."""

from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from mlip_design.bsct.result import load_result
from mlip_design.bsct.summary import NO_FORCE
from mlip_design.report import bsct_figures, bsct_tables
from mlip_design.report.page import write_page

N_DRAWN = 500
"""Scans that a page can draw at most, worst first; so that it stays below 8 MB."""


def write_bsct_page(folder: Path) -> Path:
    """Write `report.html` into a folder of `mlip-design bsct --out` from the two files in it; returns its path.

    Takes 5 MB, and 6 kB for every scan of 100 frames. Raises ValueError or OSError if a file cannot be read.
    """
    result = load_result(folder)
    facts = result.facts
    wanted = set(bsct_tables.by_smoothness(facts)[:N_DRAWN])
    drawn = {
        scan.name: bsct_figures.drawn_scan(scan, prediction, facts["systems"][scan.name])
        for scan, prediction in zip(result.scans, result.predictions, strict=True)
        if scan.name in wanted
    }
    good = {name: system for name, system in facts["systems"].items() if system["failure"] is None}
    figures = {}
    if good:
        figures["bonds"] = bsct_figures.bonds(good, facts["bonds"])
    if moved := {name: system for name, system in good.items() if system["zero_full_forces_mae"] > NO_FORCE}:
        figures["errors"] = bsct_figures.errors(moved)
    return write_page(
        folder / "report.html",
        "bsct.html",
        facts=facts,
        title=" ".join([facts["model"]["name"], *facts["model"]["arguments"]]),
        tiles=bsct_tables.tiles(facts),
        smoothness=bsct_tables.smoothness(facts["keys"]),
        errors=bsct_tables.errors(facts["keys"]),
        bonds=bsct_tables.bonds(facts["bonds"]),
        sensitivity=bsct_tables.sensitivity(facts["sensitivity"]),
        beyond=bsct_tables.beyond(facts),
        systems=bsct_tables.systems(facts, drawn),
        failed=bsct_tables.reasons(facts["failed"], "why its prediction cannot be used"),
        left_out=bsct_tables.reasons(facts["data"]["left_out"], "what is wrong with its files"),
        record=bsct_tables.record(facts),
        figures=figures,
        scans=drawn,
        plotly=Markup(get_plotlyjs()),
    )
