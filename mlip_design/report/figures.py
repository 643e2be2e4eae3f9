"""What the interactive figures of pages share: colours, layout, axes; plain mappings for plotly.js."""

import math
from collections.abc import Sequence
from typing import Any

from mlip_design.report.curves import COLOURS

BLUE, ORANGE, GREEN, _ = COLOURS
GREY, FAINT = "#8a929c", "rgba(138, 146, 156, 0.5)"


def layout(height: int) -> dict[str, Any]:
    """What all figures share. height: pixels."""
    return {
        "template": "none",
        "height": height,
        "margin": {"l": 80, "r": 30, "t": 50, "b": 60},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        "hoverlabel": {"align": "left"},
        "barmode": "group",
    }


def axis(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis with round numbers, or a linear one if there is a zero or little between the ends."""
    if max(values) < 5 * min(values) or min(values) <= 0:
        return {"type": "linear"}
    decades = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 2)
    ticks = [float(f"{factor}e{decade}") for decade in decades for factor in (1, 2, 5)]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
