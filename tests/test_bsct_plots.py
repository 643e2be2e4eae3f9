"""Scan pictures: what is drawn is what is scored."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from mlip_design.bsct import Scan, deviation_curves, score_scan, zero_force_score
from mlip_design.bsct.plots import plot_scan


@pytest.fixture
def scan() -> Scan:
    """A Morse bond of two atoms along x."""
    lengths = np.linspace(0.8, 3.0, 60)
    decay = np.exp(-1.8 * (lengths - 1.5))
    positions, forces = np.zeros((60, 2, 3)), np.zeros((60, 2, 3))
    positions[:, 1, 0] = lengths
    forces[:, 1, 0] = -2 * 5.0 * 1.8 * (decay - decay**2)
    forces[:, 0, 0] = -forces[:, 1, 0]
    return Scan("C-N", "7", [6, 7], lengths, positions, 5.0 * (1 - decay) ** 2, forces, [0, 1])


@pytest.fixture
def prediction(scan) -> tuple[np.ndarray, np.ndarray]:
    """The reference with one kink in the stretch region."""
    forces = scan.forces.copy()
    forces[40:] *= 3.0
    return scan.energies + 2.0, forces


def line(figure: Figure, gid: str):
    return next(line for axes in figure.axes for line in axes.lines if line.get_gid() == gid)


def table(figure: Figure) -> list[list[str]]:
    """Rows of the score table above the first panel, as words."""
    return [row.split() for row in figure.axes[0].get_title().split("\n")]


def test_writes_a_picture(scan, prediction, tmp_path):
    figure = plot_scan(scan, *prediction)
    figure.savefig(tmp_path / "scan.png")
    assert (tmp_path / "scan.png").read_bytes().startswith(b"\x89PNG")
    assert len(figure.axes) == 4
    assert figure.get_suptitle() == "C-N/7"
    assert plot_scan(scan, *prediction, title="epoch 3").get_suptitle() == "epoch 3"


@pytest.mark.parametrize(
    "bond, name",
    [
        ("C-N", "C-N bond length (Å)"),
        ("angle_C-C-O", "C-C-O angle, as an arc (Å)"),
        ("torsion_H-C-C-O", "H-C-C-O torsion angle, as an arc (Å)"),
        ("approach_H-O", "H-O distance (Å)"),
        ("atom_Au-Cu", "Au-Cu distance in the crystal (Å)"),
        ("volume_Cu", "Cu cube root of the volume an atom (Å)"),
    ],
)
def test_names_what_is_scanned(scan, prediction, bond, name):
    assert plot_scan(replace(scan, bond=bond), *prediction).axes[-1].get_xlabel() == name


def test_marks_the_steepest_interval(scan, prediction):
    energies, forces = prediction
    slope = np.abs(deviation_curves(scan, forces).slope)
    assert np.argmax(slope) == 39
    mark = line(plot_scan(scan, energies, forces), "steepest")
    np.testing.assert_array_equal(mark.get_xdata(), scan.lengths[39:41])
    assert abs(np.diff(mark.get_ydata()) / np.diff(mark.get_xdata()))[0] == pytest.approx(slope.max())
    assert mark.get_label() == f"steepest, {slope.max():.1f} 1/Å"


def test_the_slope_peaks_at_the_score(scan, prediction):
    figure = plot_scan(scan, *prediction)
    full = score_scan(scan, *prediction)["full_smoothness"]
    peak = line(figure, "peak")
    np.testing.assert_array_equal(peak.get_xdata(), scan.lengths[39:41])
    assert peak.get_ydata() == pytest.approx([full, full])
    (slope,) = (line for line in figure.axes[-1].lines if line.get_label() == "model")
    assert slope.get_ydata().max() == pytest.approx(full) and len(slope.get_ydata()) == 60
    zero = zero_force_score(scan)["zero_full_smoothness"]
    assert f"zero forces, {zero:.1f} 1/Å" in [line.get_label() for line in figure.axes[-1].lines]


@pytest.mark.parametrize("bond, cut", [("C-N", True), ("torsion_H-C-C-O", False), ("volume_Cu", False)])
def test_only_walls_are_cut_off(scan, prediction, bond, cut):
    """The compressed end lies at 31.9 eV, the stretched one at 4.4 eV."""
    top = plot_scan(replace(scan, bond=bond), *prediction).axes[0].get_ylim()[1]
    assert (top < scan.energies.max()) == cut
    flat = replace(scan, bond=bond, energies=np.where(scan.lengths > 1.6, 1e-3, scan.energies))
    assert plot_scan(flat, *prediction).axes[0].get_ylim()[1] > 25


def test_shows_the_scores_and_the_zero_force_baseline(scan, prediction):
    earlier = (scan.energies, 0.5 * scan.forces, "epoch 1")
    header, model, before, zero = table(plot_scan(scan, *prediction, before=earlier))
    assert header == ["FSD", "(1/Å)", "full", "compress", "stretch", "windowed"]
    keys = [f"{region}_smoothness" for region in header[2:]]
    assert model == ["model", *(f"{score_scan(scan, *prediction)[key]:.1f}" for key in keys)]
    assert before == ["epoch", "1", *(f"{score_scan(scan, *earlier[:2])[key]:.1f}" for key in keys)]
    assert zero == ["zero", "forces", *(f"{zero_force_score(scan)[f'zero_{key}']:.1f}" for key in keys)]


def test_earlier_model_is_drawn_behind(scan, prediction):
    figure = plot_scan(scan, *prediction, before=(scan.energies, 0.5 * scan.forces, "epoch 1"))
    for axes in figure.axes:
        labels = [line.get_label() for line in axes.lines]
        earlier = next(i for i, label in enumerate(labels) if label.startswith("epoch 1"))
        latest = next(i for i, label in enumerate(labels) if label.startswith("model"))
        assert earlier < latest
    mark = line(figure, "steepest")
    np.testing.assert_array_equal(mark.get_xdata(), scan.lengths[39:41])


def test_non_finite_prediction(scan, prediction, tmp_path):
    energies, forces = prediction
    energies, forces = np.full_like(energies, np.nan), forces.copy()
    forces[50:] = np.nan
    figure = plot_scan(scan, energies, forces)
    assert line(figure, "steepest").get_label() == "not finite"
    assert table(figure)[1][:2] == ["model", "nan"]
    figure.savefig(tmp_path / "scan.png")


@pytest.mark.parametrize("end", [0, -1])
def test_equilibrium_at_an_end(scan, prediction, tmp_path, end):
    energies = scan.energies.copy()
    energies[end] = -1.0
    plot_scan(replace(scan, energies=energies), *prediction).savefig(tmp_path / "scan.png")


def test_wrong_shape(scan, prediction):
    with pytest.raises(ValueError, match=r"C-N/7: forces have shape \(59, 2, 3\), expected \(60, 2, 3\)"):
        plot_scan(scan, prediction[0], prediction[1][1:])


def test_no_global_state():
    """matplotlib.pyplot keeps figures alive and chooses a window system; importing the plots must not load it."""
    code = "import sys, mlip_design.bsct.plots; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
