"""`report.html` of an evaluation: errors, parity, elements, groups, the worst structures, what has no prediction."""

from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from mlip_design.evaluation.evaluate import Evaluation
from mlip_design.report import eval_tables
from mlip_design.report.eval_figures import figures
from mlip_design.report.page import write_page


def write_eval_page(folder: Path, evaluation: Evaluation) -> Path:
    """Write `report.html`, about 5 MB, into a folder; returns its path. Raises OSError."""
    facts = evaluation.facts
    return write_page(
        folder / "report.html",
        "eval.html",
        title=facts["model"],
        facts=facts,
        tiles=list(eval_tables.tiles(facts)),
        groups=eval_tables.groups(facts),
        elements=eval_tables.elements(facts),
        worst=eval_tables.worst(facts),
        failed=eval_tables.reasons(facts["failed"], "why it has no prediction"),
        left_out=eval_tables.reasons(facts["left_out"], "why it cannot be used"),
        figures=figures(evaluation.collected, facts) if facts["predicted"] else {},
        plotly=Markup(get_plotlyjs()),
    )
