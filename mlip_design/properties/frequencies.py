"""Frequencies of a model against those of a reference: how far apart, and how many are imaginary. Unit: cm^-1."""

import numpy as np

from mlip_design.properties.measured import Figure, Line, Quantity, difference

IMAGINARY = -5.0
"""cm^-1; what lies below counts as imaginary, what lies above may be rounding."""


def frequency_quantities(reference: np.ndarray, there: np.ndarray, own: np.ndarray | None) -> list[Quantity]:
    """Errors and counts.

    reference: of the reference at its minimum, there: of the model at the same place, own: of the model at its own
    minimum, if it has one; (n_frequencies,) each, cm^-1, in an order by which they may be compared, imaginary ones
    negative. An `own` of another length is counted, not compared.
    """
    errors = [
        None if found is None or len(found) != len(reference) else float(np.abs(found - reference).mean())
        for found in (there, own)
    ]
    counts = [None if found is None else int((found < IMAGINARY).sum()) for found in (reference, there, own)]
    return [
        Quantity("MAE at reference minimum", "cm⁻¹", None, None, errors[0]),
        Quantity("MAE at own minimum", "cm⁻¹", None, None, errors[1]),
        difference("highest", "cm⁻¹", reference.max(), there.max()),
        difference("imaginary at reference minimum", "", counts[0], counts[1]),
        difference("imaginary at own minimum", "", counts[0], counts[2]),
    ]


def frequency_figure(
    name: str, x: str, reference: np.ndarray, there: np.ndarray, own: np.ndarray | None
) -> Figure:
    """Frequencies by their number; of the model at its own place if it has one."""
    drawn = [("reference", reference), ("model", there if own is None else own)]
    lines = [Line(by, list(range(1, len(found) + 1)), found.tolist()) for by, found in drawn]
    return Figure(name, x, "frequency (cm⁻¹)", lines)
