"""A scan in one picture: energy, squared force deviations, their log ratio and its slope over bond length.

The bottom panel shows the slope of L, whose largest value is the Force Smoothness Deviation (FSD); formulas in
`mlip_design.bsct.score`. A scan of the volume shows the mean stress as well, and the deviations of the stress in the
place of those of the forces, see `mlip_design.bsct.curves`. Figures are plain objects on an Agg canvas:
`figure.savefig(path)` writes one, and nothing touches matplotlib's global state.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mlip_design.bsct.coordinates import kind_of
from mlip_design.bsct.curves import DeviationCurves, leading_curves
from mlip_design.bsct.scan import Prediction, Scan
from mlip_design.bsct.score import leading, score_scan, zero_force_score

# Okabe and Ito's colours, told apart by every kind of colour vision
REFERENCE, MODEL, BEFORE, MARK, MUTED = "#000000", "#0072B2", "#E69F00", "#D55E00", "#595959"
COMPRESS, STRETCH = "#56B4E9", "#F0E442"
SHOWN_KEYS = ("full_smoothness", "compress_smoothness", "stretch_smoothness", "windowed_smoothness")
NAMES = {
    "bond": "bond length",
    "angle": "angle, as an arc",
    "torsion": "torsion angle, as an arc",
    "approach": "distance",
    "atom": "distance in the crystal",
    "volume": "cube root of the volume an atom",
}
"""Kind of scan -> what its lengths are."""
WALLED = {"bond", "approach", "atom"}
"""Kinds of scan that run up a repulsive wall."""
FLOOR = 1.0  # eV/Å


class Drawn(NamedTuple):
    """One model as the panels need it; energies (n_frames,) in eV."""

    label: str
    colour: str
    energies: np.ndarray
    pulls: np.ndarray | None
    """(n_frames,), eV/Å^3, mean of the diagonal of the stress."""
    curves: DeviationCurves
    score: dict[str, float]


def plot_scan(
    scan: Scan,
    energies: np.ndarray,
    forces: np.ndarray,
    stresses: np.ndarray | None = None,
    *,
    title: str | None = None,
    before: tuple | None = None,
) -> Figure:
    """Draw a model's energies and forces along a scan against the reference.

    Args:
        energies: model energies, (n_frames,), eV; drawn relative to the frame of lowest reference energy.
        forces: model forces, (n_frames, n_atoms, 3), eV/Å.
        stresses: model stresses, (n_frames, 3, 3), eV/Å^3, of a scan that has them.
        title: first line of the title; the scan's name when None.
        before: a prediction of an earlier model and at last its label, drawn behind this one.
    """
    prediction = (energies, forces) if stresses is None else (energies, forces, stresses)
    models = [_drawn(scan, prediction, "model", MODEL)]
    if before is not None:
        models.insert(0, _drawn(scan, before[:-1], before[-1], BEFORE))

    draws = [_draw_energies, _draw_deviations, _draw_log_ratio, _draw_slopes]
    draws[1:1] = [] if stresses is None else [_draw_stresses]
    scores = _score_table(scan, models)
    figure, panels = _panels(len(draws), scores.count("\n") + 1)
    for axes, draw in zip(panels, draws, strict=True):
        draw(axes, scan, models)
        _shade_regions(axes, scan)
        axes.legend(loc="best", framealpha=0.9, edgecolor="none", fontsize=9)
    _name_regions(panels[0], scan)
    panels[-1].set_xlabel(f"{coordinate_name(scan)} (Å)")
    panels[-1].set_xlim(scan.lengths[0], scan.lengths[-1])
    figure.suptitle(title or scan.name, y=1 - 0.1 / figure.get_figheight(), fontsize=13, fontweight="bold")
    panels[0].set_title(scores, fontsize=8.5, family="monospace", linespacing=1.4, pad=10)
    return figure


def _panels(count: int, n_rows: int) -> tuple[Figure, np.ndarray]:
    """A figure of panels above each other, under a title and n_rows rows of scores.

    Margins are fixed: to find them, a constrained layout measures all text twice more, a third of the time of a figure.
    """
    width, height = 7.5, 1 + 2.1 * count
    top = 0.45 + 0.17 * n_rows  # inches, as the margins below
    margins = {"left": 0.8 / width, "right": 1 - 0.1 / width, "bottom": 0.55 / height, "top": 1 - top / height}
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(count, sharex=True, gridspec_kw={**margins, "hspace": 0.07})


def coordinate_name(scan: Scan) -> str:
    """What the lengths of a scan are, such as "C-N bond length"."""
    kind = kind_of(scan.bond)
    return f"{scan.bond.removeprefix(f'{kind}_')} {NAMES[kind]}"


def pulls(stresses: np.ndarray) -> np.ndarray:
    """Mean of the diagonal of stresses (n_frames, 3, 3), eV/Å^3: the pressure with the other sign."""
    return np.trace(np.asarray(stresses, dtype=np.float64), axis1=1, axis2=2) / 3


def energy_top(scan: Scan) -> float:
    """eV above equilibrium up to where energies are shown: a wall is cut off where it would flatten the rest."""
    relative = scan.energies - scan.energies[scan.equilibrium]
    highest, limit = relative.max(), 3 * relative[scan.equilibrium :].max()
    is_walled = kind_of(scan.bond) in WALLED and limit > 0.01 * highest
    return float(min(highest, limit) if is_walled else highest)


def _drawn(scan: Scan, prediction: Prediction, label: str, colour: str) -> Drawn:
    energies, _, *stresses = prediction
    pull = pulls(*stresses) if stresses else None
    curves, score = leading_curves(scan, prediction, FLOOR), score_scan(scan, *prediction, floor=FLOOR)
    return Drawn(label, colour, np.asarray(energies, dtype=np.float64), pull, curves, score)


def _draw_energies(axes: Axes, scan: Scan, models: list[Drawn]) -> None:
    """Relative energies."""
    k = scan.equilibrium
    reference = scan.energies - scan.energies[k]
    axes.plot(scan.lengths, reference, color=REFERENCE, linewidth=2.6, label="reference")
    for model in models:
        axes.plot(scan.lengths, model.energies - model.energies[k], color=model.colour, label=model.label)
    bottom, top = axes.get_ylim()
    top = min(top, energy_top(scan)) if energy_top(scan) < reference.max() else top
    axes.set_ylim(bottom - 0.05 * (top - bottom), top)  # leaves room for the names of the regions
    axes.set_ylabel("relative energy (eV)")


def _draw_stresses(axes: Axes, scan: Scan, models: list[Drawn]) -> None:
    """Mean stress, positive where the crystal pulls itself together."""
    axes.plot(scan.lengths, pulls(scan.stresses), color=REFERENCE, linewidth=2.6, label="reference")
    for model in models:
        axes.plot(scan.lengths, model.pulls, color=model.colour, label=model.label)
    axes.set_ylabel("mean stress (eV/Å³)")


def _draw_deviations(axes: Axes, scan: Scan, models: list[Drawn]) -> None:
    """sF and sG; below the floor they count as the floor."""
    reference = models[0].curves.reference
    axes.plot(scan.lengths, reference, color=REFERENCE, linewidth=2.6, label="reference $s_G$")
    for model in models:
        axes.plot(scan.lengths, model.curves.model, color=model.colour, label=f"{model.label} $s_F$")
    axes.axhline(FLOOR**2, color=MUTED, linewidth=1, linestyle=":", label="floor $e^2$")
    axes.set_yscale("log")
    axes.set_ylim(bottom=FLOOR**2 / 5)
    axes.minorticks_off()
    of = "force" if scan.stresses is None else "stress"
    axes.set_ylabel(f"{of} deviation² (eV/Å)²")


def _draw_log_ratio(axes: Axes, scan: Scan, models: list[Drawn]) -> None:
    """L of every model, and the interval that sets the FSD of the last."""
    axes.axhline(0.0, color=REFERENCE, linewidth=2.6, label="reference")
    for model in models:
        axes.plot(scan.lengths, model.curves.log_ratio, ".-", color=model.colour, markersize=4, label=model.label)
    curves = models[-1].curves
    interval = slice(curves.steepest, curves.steepest + 2)
    ends = curves.lengths[interval], curves.log_ratio[interval]
    axes.plot(*ends, "o-", color=MARK, linewidth=3, markersize=6, label=_steepness(curves), gid="steepest")
    axes.set_ylabel("log ratio $L$ of $s_F$ to $s_G$")


def _draw_slopes(axes: Axes, scan: Scan, models: list[Drawn]) -> None:
    """|slope of L| interval by interval; its largest value is the FSD."""
    for model in models:
        steps = np.abs(model.curves.slope[[*range(len(scan.lengths) - 1), -1]])
        axes.plot(scan.lengths, steps, color=model.colour, drawstyle="steps-post", label=model.label)
    curves = models[-1].curves
    interval = slice(curves.steepest, curves.steepest + 2)
    peak = np.abs(curves.slope[[curves.steepest] * 2])
    axes.plot(scan.lengths[interval], peak, color=MARK, linewidth=3, label=_steepness(curves), gid="peak")
    zero = leading(zero_force_score(scan, FLOOR), "zero_")
    axes.axhline(zero, color=MUTED, linewidth=1, linestyle=":", label=f"{_zero_name(scan)}, {zero:.1f} 1/Å")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("slope of $L$ (1/Å)")


def _steepness(curves: DeviationCurves) -> str:
    """What is said of the interval that sets the FSD."""
    steepness = abs(curves.slope[curves.steepest])
    return f"steepest, {steepness:.1f} 1/Å" if np.isfinite(steepness) else "not finite"


def _zero_name(scan: Scan) -> str:
    return "zero forces" if scan.stresses is None else "zero stress"


def _shade_regions(axes: Axes, scan: Scan) -> None:
    first, equilibrium, last = scan.lengths[[0, scan.equilibrium, -1]]
    axes.axvspan(first, equilibrium, color=COMPRESS, alpha=0.13, linewidth=0)
    axes.axvspan(equilibrium, last, color=STRETCH, alpha=0.13, linewidth=0)
    axes.axvline(equilibrium, color=MUTED, linewidth=1, linestyle="--")
    axes.spines[["top", "right"]].set_visible(False)


def _name_regions(axes: Axes, scan: Scan) -> None:
    """Write the names of the regions along the bottom, where there is room; the equilibrium length beside its line."""
    first, equilibrium, last = scan.lengths[[0, scan.equilibrium, -1]]
    style = {
        "textcoords": "offset points",
        "xycoords": ("data", "axes fraction"),
        "fontsize": 9,
        "color": MUTED,
    }
    for name, start, end in (("compress", first, equilibrium), ("stretch", equilibrium, last)):
        if end - start > 0.15 * (last - first):
            middle = (start + end) / 2
            axes.annotate(name, (middle, 0), xytext=(0, 4), ha="center", va="bottom", style="italic", **style)
    side = (
        {"xytext": (5, -4), "ha": "left"}
        if 2 * equilibrium < first + last
        else {"xytext": (-5, -4), "ha": "right"}
    )
    axes.annotate(f"equilibrium, {equilibrium:.2f} Å", (equilibrium, 1), va="top", **side, **style)


def _score_table(scan: Scan, models: list[Drawn]) -> str:
    """FSD of the models, newest first, and of zero forces (and stress), as aligned text."""
    zero = {key.removeprefix("zero_"): value for key, value in zero_force_score(scan, FLOOR).items()}
    rows = [(model.label, model.score) for model in reversed(models)] + [(_zero_name(scan), zero)]
    width = max(len(label) for label, _ in rows)
    keys = [*SHOWN_KEYS, *(["stress_smoothness"] if "stress_smoothness" in zero else [])]
    lines = [" " * width + "".join(f"{key.removesuffix('_smoothness'):>10}" for key in keys)]
    lines += [f"{label:<{width}}" + "".join(f"{score[key]:10.1f}" for key in keys) for label, score in rows]
    return "\n".join(["FSD (1/Å)".ljust(width) + lines[0][max(width, 9) :], *lines[1:]])
