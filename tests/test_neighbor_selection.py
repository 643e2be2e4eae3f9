"""Reduced distances: what every selection promises, and whether it is continuous where atoms come, go and overtake."""

import ase
import numpy as np
import pytest
import torch
from ase.build import molecule
from conftest import (
    BASE_MODEL,
    GENERIC,
    SYMMETRIC,
    blocks_of,
    build,
    build_block,
    cage,
    crystal,
    ethanol,
    leaving,
    limiting_jump,
    overtaking,
    potential_jumps,
    skewed,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from reduced_distances import edge_distances, few, select

from mlip_design.graph import batch_structures
from mlip_design.structures import from_atoms

selections = pytest.mark.parametrize("name", blocks_of("neighbors"))
SMOOTH = 1e-6
"""Change of x, dimensionless, within 1e-10 Å that no continuous selection reaches."""


@selections
@pytest.mark.parametrize("structure", [*GENERIC, cage])
def test_an_edge_and_its_reverse_agree(name, structure):
    graph, _, reduced = select(few(name), structure())
    assert reduced.shape == graph.source.shape
    assert (reduced >= 0).all() and reduced.isfinite().all()
    assert (reduced - reduced[graph.reverse]).abs().max() < 1e-12


@selections
def test_no_edge_beyond_the_cutoff(name):
    selection = few(name)
    for structure in (ethanol(), crystal()):
        _, distance, reduced = select(selection, structure)
        assert (reduced >= distance / selection.cutoff - 1e-12).all()


# Paths: the structures, the interval of the moving atom's distance from the centre (Å), and k

PATHS = {
    "overtaking": (overtaking, (1.2, 3.6), 5),
    "leaving by distance": (leaving, (5.85, 6.15), 7),
    "starting to fade": (leaving, (4.9, 5.1), 7),
}


def weights(selection, structures):
    """Function of the moving atom's distance: max(1 - x, 0), dimensionless, of every ordered pair of atoms."""

    def of(distances: np.ndarray) -> np.ndarray:
        values = np.zeros((len(distances), 7, 7))
        for row, structure in zip(values, structures(distances), strict=True):
            graph, _, reduced = select(selection, structure)
            row[graph.source, graph.target] = (1 - reduced).clamp(min=0)
        return values

    return of


@selections
@pytest.mark.parametrize("path", PATHS)
def test_continuous_along_a_path_exactly_where_promised(name, path):
    structures, interval, k = PATHS[path]
    selection = build_block("neighbors", name, n_neighbors=k)
    jump = limiting_jump(weights(selection, structures), *interval, n_points=60)
    must_jump = selection.continuity_order < 0 and path == "overtaking"
    assert (jump > 0.05) if must_jump else (jump < SMOOTH)


def test_ranks_without_fade_jump_at_the_cutoff():
    """Wrong on purpose: the published formula, in which an atom beyond the cutoff stops counting at once."""
    structures, interval, k = PATHS["leaving by distance"]
    selection = build_block("neighbors", "diff_knn", n_neighbors=k, fade=1e-9)
    assert limiting_jump(weights(selection, structures), *interval, n_points=60) > 100 * SMOOTH
    potential = build(f"model={BASE_MODEL}", envelope="polynomial")
    potential.neighbors = selection
    energy, _ = potential_jumps(potential, structures, interval)
    assert energy > 1e-5


# Formulas


def test_radius_is_distance_over_cutoff():
    selection = build_block("neighbors", "radius")
    _, distance, reduced = select(selection, ethanol())
    assert torch.equal(reduced, distance / selection.cutoff)


@pytest.mark.parametrize("structure", [ethanol, skewed])
def test_sharp_diff_knn_is_hard_knn(structure):
    """As rank width, temperature and fade go to 0, soft ranks become the ranks of sorting."""
    sharp = build_block("neighbors", "diff_knn", rank_width=1e-7, temperature=1e-5, fade=1e-6)
    _, distance, soft = select(sharp, structure())
    _, _, hard = select(build_block("neighbors", "hard_knn"), structure())
    inside = distance < sharp.cutoff - 1e-6
    graph = batch_structures([structure()], sharp.cutoff, torch.float64)
    itself = graph.source == graph.target  # an atom's images at S and -S tie, which sorting must break
    others = inside & ~itself
    if not itself.any():
        assert (soft - hard)[others].abs().max() < 2e-5
    else:
        assert (soft - hard)[inside].abs().max() < 0.5 / sharp.n_neighbors + 2e-5


def test_hard_knn_keeps_the_k_nearest_of_both_atoms():
    structure, selection = ethanol(), build_block("neighbors", "hard_knn", n_neighbors=4)
    graph, _, reduced = select(selection, structure)
    distances = np.linalg.norm(structure.positions[:, None] - structure.positions, axis=-1)
    nearest = np.argsort(distances, axis=1)[:, 1:5]
    expected = {(i, j) for i in range(9) for j in range(9) if j in nearest[i] and i in nearest[j]}
    kept = reduced < 1
    assert set(zip(graph.source[kept].tolist(), graph.target[kept].tolist(), strict=True)) == expected


@pytest.mark.parametrize("name", ["adaptive_cutoff", "diff_knn"])
@pytest.mark.parametrize("k", [2, 5])
def test_first_and_second_derivatives_of_the_reduced_distance(name, k):
    """Also where rank decides, and through the search for a cutoff."""
    block = build_block("neighbors", name, n_neighbors=k)
    graph, distance, _ = select(block, overtaking(np.array([2.1]))[0])

    def of(values: torch.Tensor) -> torch.Tensor:
        return block(values, graph.source, graph.reverse, graph.n_atoms)

    assert torch.autograd.gradcheck(of, (distance.requires_grad_(),))
    assert torch.autograd.gradgradcheck(of, (distance,))


# Symmetry


@selections
@pytest.mark.parametrize("structure", [*SYMMETRIC, "cage"])
@pytest.mark.parametrize("scarce", [False, True])
def test_second_derivatives_are_finite_where_distances_are_equal(name, structure, scarce):
    selection = few(name) if scarce else build_block("neighbors", name)
    atoms = cage() if structure == "cage" else SYMMETRIC[structure]
    graph = batch_structures([atoms], selection.cutoff, torch.float64)
    distance = edge_distances(graph).requires_grad_(True)
    reduced = selection(distance, graph.source, graph.reverse, graph.n_atoms)
    slope = torch.autograd.grad((reduced**2).sum(), distance, create_graph=True)[0]
    curvature = torch.autograd.grad((slope**2).sum(), distance)[0]
    assert reduced.isfinite().all() and slope.isfinite().all() and curvature.isfinite().all()


@selections
def test_equal_neighbors_are_treated_equally_exactly_where_promised(name):
    """The hydrogens of methane: a smooth selection cannot prefer one; sorting must when k splits them."""
    selection = few(name)
    for atom in (from_atoms(molecule("CH4")), from_atoms(molecule("C6H6"))):
        graph, distance, reduced = select(selection, atom)
        bonds = (distance < 1.2) & (graph.source < graph.target)
        spread = (reduced[bonds].max() - reduced[bonds].min()).item()
        if selection.continuity_order >= 0:
            assert spread < 1e-4  # the molecules of ASE are symmetric to a few 1e-6 Å
    if selection.continuity_order < 0:
        _, distance, reduced = select(selection, from_atoms(molecule("CH4")))
        assert reduced[distance < 1.2].max() - reduced[distance < 1.2].min() > 0.1


@selections
def test_an_atom_alone(name):
    """No edges: nothing to reduce, and no crash."""
    _, _, reduced = select(few(name), from_atoms(ase.Atoms("O")))
    assert reduced.shape == (0,)


@selections
@given(gap=st.floats(-0.3, 0.3))
@settings(max_examples=20, deadline=None)
def test_float32_agrees_with_float64(name, gap):
    selection = few(name)
    structure = overtaking(np.array([2.2 + gap]))[0]
    graph, distance, reduced = select(selection, structure)
    rounded = selection.float()(distance.float(), graph.source, graph.reverse, graph.n_atoms)
    assert rounded.dtype == torch.float32
    if selection.continuity_order >= 0:
        assert (reduced - rounded).abs().max() < 1e-5
