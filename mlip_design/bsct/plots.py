"""A scan in one picture: energy, squared force deviations and their log ratio over bond length.

The bottom panel shows L, whose steepest interval is the Force Smoothness Deviation (FSD); formulas in
`mlip_design.bsct.score`. Figures are plain objects on an Agg canvas: `figure.savefig(path)` writes one, and
nothing touches matplotlib's global state.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mlip_design.bsct.coordinates import kind_of
from mlip_design.bsct.scans import Scan
from mlip_design.bsct.score import DeviationCurves, deviation_curves, score_scan, zero_force_score

# Okabe and Ito's colours, told apart by every kind of colour vision
REFERENCE, MODEL, BEFORE, MARK, MUTED = "#000000", "#0072B2", "#E69F00", "#D55E00", "#595959"
COMPRESS, STRETCH = "#56B4E9", "#F0E442"
SHOWN_KEYS = ("full_smoothness", "compress_smoothness", "stretch_smoothness", "windowed_smoothness")
FLOOR = 1.0  # eV/Å


class Drawn(NamedTuple):
    """One model as the panels need it; energies (n_frames,) in eV."""

    label: str
    colour: str
    energies: np.ndarray
    curves: DeviationCurves
    score: dict[str, float]


def plot_scan(
    scan: Scan,
    energies: np.ndarray,
    forces: np.ndarray,
    title: str | None = None,
    before: tuple[np.ndarray, np.ndarray, str] | None = None,
) -> Figure:
    """Draw a model's energies and forces along a scan against the reference.

    Args:
        energies: model energies, (n_frames,), eV; drawn relative to the frame of lowest reference energy.
        forces: model forces, (n_frames, n_atoms, 3), eV/Å.
        title: first line of the title; the scan's name when None.
        before: energies, forces and label of an earlier model, drawn behind this one.
    """
    models = [_drawn(scan, energies, forces, "model", MODEL)]
    if before is not None:
        models.insert(0, _drawn(scan, *before, BEFORE))

    figure = Figure(figsize=(7.5, 8.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(3, sharex=True, height_ratios=(1, 1, 1.15))
    for axes, draw in zip(panels, (_draw_energies, _draw_deviations, _draw_log_ratio), strict=True):
        draw(axes, scan, models)
        _shade_regions(axes, scan)
        axes.legend(loc="upper right", framealpha=0.9, edgecolor="none", fontsize=9)
    _name_regions(panels[0], scan)
    panels[-1].set_xlabel(f"{coordinate_name(scan)} (Å)")
    panels[-1].set_xlim(scan.lengths[0], scan.lengths[-1])
    figure.suptitle(title or scan.name, fontsize=13, fontweight="bold")
    panels[0].set_title(_score_table(scan, models), fontsize=8.5, family="monospace", linespacing=1.4, pad=10)
    return figure


def coordinate_name(scan: Scan) -> str:
    """What the lengths of a scan are, such as "C-N bond length"."""
    kind = kind_of(scan.bond)
    names = {"bond": "bond length", "angle": "angle, as an arc", "torsion": "torsion angle, as an arc"}
    return f"{scan.bond.removeprefix(f'{kind}_')} {names.get(kind, 'distance')}"


def _drawn(scan: Scan, energies: np.ndarray, forces: np.ndarray, label: str, colour: str) -> Drawn:
    score = score_scan(scan, energies, forces, FLOOR)
    curves = deviation_curves(scan, forces, FLOOR)
    return Drawn(label, colour, np.asarray(energies, dtype=np.float64), curves, score)


def _draw_energies(axes: Axes, scan: Scan, models: list[Drawn]) -> None:
    """Relative energies; the repulsive wall is cut off where it would flatten the rest."""
    k = scan.equilibrium
    reference = scan.energies - scan.energies[k]
    axes.plot(scan.lengths, reference, color=REFERENCE, linewidth=2.6, label="reference")
    for model in models:
        axes.plot(scan.lengths, model.energies - model.energies[k], color=model.colour, label=model.label)
    bottom, top = axes.get_ylim()
    stretched = reference[k:].max()
    top = min(top, 3 * stretched) if stretched > 0 else top
    axes.set_ylim(bottom - 0.05 * (top - bottom), top)  # leaves room for the names of the regions
    axes.set_ylabel("relative energy (eV)")


def _draw_deviations(axes: Axes, scan: Scan, models: list[Drawn]) -> None:
    """sF and sG; below the floor they count as the floor."""
    reference = models[0].curves.reference
    axes.plot(scan.lengths, reference, color=REFERENCE, linewidth=2.6, label="reference $s_G$")
    for model in models:
        axes.plot(scan.lengths, model.curves.model, color=model.colour, label=f"{model.label} $s_F$")
    axes.axhline(FLOOR**2, color=MUTED, linewidth=1, linestyle=":", label="floor $e^2$")
    axes.set_yscale("log")
    axes.set_ylim(bottom=FLOOR**2 / 5)
    axes.set_ylabel("squared force deviation (eV/Å)²")


def _draw_log_ratio(axes: Axes, scan: Scan, models: list[Drawn]) -> None:
    """L of every model, and the interval that sets the FSD of the last."""
    axes.axhline(0.0, color=REFERENCE, linewidth=2.6, label="reference")
    for model in models:
        axes.plot(scan.lengths, model.curves.log_ratio, ".-", color=model.colour, markersize=4, label=model.label)
    curves = models[-1].curves
    interval = slice(curves.steepest, curves.steepest + 2)
    steepness = abs(curves.slope[curves.steepest])
    label = f"steepest, {steepness:.1f} 1/Å" if np.isfinite(steepness) else "not finite"
    ends = curves.lengths[interval], curves.log_ratio[interval]
    axes.plot(*ends, "o-", color=MARK, linewidth=3, markersize=6, label=label, gid="steepest")
    axes.set_ylabel("log ratio $L$ of $s_F$ to $s_G$")


def _shade_regions(axes: Axes, scan: Scan) -> None:
    first, equilibrium, last = scan.lengths[[0, scan.equilibrium, -1]]
    axes.axvspan(first, equilibrium, color=COMPRESS, alpha=0.13, linewidth=0)
    axes.axvspan(equilibrium, last, color=STRETCH, alpha=0.13, linewidth=0)
    axes.axvline(equilibrium, color=MUTED, linewidth=1, linestyle="--")
    axes.spines[["top", "right"]].set_visible(False)


def _name_regions(axes: Axes, scan: Scan) -> None:
    """Write the names of the regions along the bottom, and the equilibrium length beside its line."""
    first, equilibrium, last = scan.lengths[[0, scan.equilibrium, -1]]
    style = {
        "textcoords": "offset points",
        "xycoords": ("data", "axes fraction"),
        "fontsize": 9,
        "color": MUTED,
    }
    for name, middle in (("compress", (first + equilibrium) / 2), ("stretch", (equilibrium + last) / 2)):
        axes.annotate(name, (middle, 0), xytext=(0, 4), ha="center", va="bottom", style="italic", **style)
    axes.annotate(f"equilibrium, {equilibrium:.2f} Å", (equilibrium, 1), xytext=(5, -4), va="top", **style)


def _score_table(scan: Scan, models: list[Drawn]) -> str:
    """FSD of the models, newest first, and of zero forces, as aligned text."""
    zero = {key.removeprefix("zero_"): value for key, value in zero_force_score(scan, FLOOR).items()}
    rows = [(model.label, model.score) for model in reversed(models)] + [("zero forces", zero)]
    width = max(len(label) for label, _ in rows)
    lines = [" " * width + "".join(f"{key.removesuffix('_smoothness'):>10}" for key in SHOWN_KEYS)]
    lines += [f"{label:<{width}}" + "".join(f"{score[key]:10.1f}" for key in SHOWN_KEYS) for label, score in rows]
    return "\n".join(["FSD (1/Å)".ljust(width) + lines[0][max(width, 9) :], *lines[1:]])
