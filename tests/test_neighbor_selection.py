"""Reduced distances: what every selection promises, and whether it is continuous where atoms come, go and overtake."""

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
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

from mlip_design.bsct.probe.rays import sphere
from mlip_design.graph import AtomGraph, batch_structures
from mlip_design.structures import Structure, from_atoms

selections = pytest.mark.parametrize("name", blocks_of("neighbors"))
SMOOTH = 1e-6
"""Change of x, dimensionless, within 1e-10 Å that no continuous selection reaches."""


def few(name: str):
    """A selection of so few neighbours, if it counts them, that rank decides and not distance."""
    return build_block("neighbors", name, n_neighbors=5)


def edge_distances(graph: AtomGraph) -> torch.Tensor:
    """(n_edges,) Å."""
    lattice = graph.shift @ graph.cell[0]
    return (graph.positions[graph.target] - graph.positions[graph.source] + lattice).norm(dim=1)


def select(selection, structure: Structure) -> tuple[AtomGraph, torch.Tensor, torch.Tensor]:
    """The candidate graph of a structure, its distances (Å) and reduced distances."""
    graph = batch_structures([structure], selection.cutoff, torch.float64)
    distance = edge_distances(graph)
    return graph, distance, selection(distance, graph.source, graph.reverse, graph.n_atoms)


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


def published_diff_knn(
    distances: np.ndarray, cutoff: float, k: int | np.ndarray, width: float, temperature: float
) -> np.ndarray:
    """x (n_atoms, n_atoms) of arXiv:2602.04861, pair by pair; distances (n_atoms, n_atoms), Å; k, one or a pair's."""
    n_atoms = len(distances)
    k = np.broadcast_to(k, distances.shape)
    ranks = np.zeros((n_atoms, n_atoms))
    reduced = np.full((n_atoms, n_atoms), np.nan)
    for i in range(n_atoms):
        for j in range(n_atoms):
            for m in range(n_atoms):
                if j != i and m != i:
                    ranks[i, j] += 1 / (1 + np.exp(-(distances[i, j] - distances[i, m]) / width))
    for i in range(n_atoms):
        for j in range(n_atoms):
            if i != j:
                terms = np.array([ranks[i, j] / k[i, j], ranks[j, i] / k[i, j], distances[i, j] / cutoff])
                reduced[i, j] = temperature * np.log(np.exp(terms / temperature).sum())
    return reduced


def enlarged_k(distances: np.ndarray, cutoff: float, k: int, width: float, temperature: float) -> np.ndarray:
    """K (n_atoms, n_atoms) as the docstring of `diff_knn` has it, inside of the fade."""
    ranked = published_diff_knn(
        distances, np.inf, k, width, temperature
    )  # d / r_c = 0 is one more term of the sum
    ranked = temperature * np.log(np.exp(ranked / temperature) - 1)
    factors = []
    for own, ranks in zip(distances, ranked, strict=True):
        others = np.isfinite(ranks)
        shares = np.exp((cutoff - own[others]) / width)
        u = ((shares * ranks[others]).sum() / (1 + shares.sum()) - 0.7) / 0.3
        step = 1 / (1 + np.exp(1 / u - 1 / (1 - u))) if 0 < u < 1 else float(u >= 1)
        factors.append(1 + (0.3 * u / 0.7) * step)
    return k * np.outer(factors, factors)


@given(seed=st.integers(0, 10**6), n_atoms=st.integers(2, 8), k=st.integers(2, 30))
@settings(max_examples=50, deadline=None)
def test_diff_knn_is_the_formula_inside_the_fade(seed, n_atoms, k):
    selection = build_block("neighbors", "diff_knn", n_neighbors=k)
    reach = (selection.cutoff - selection.fade) / np.sqrt(3)
    positions = np.random.default_rng(seed).uniform(0, reach, (n_atoms, 3))
    distances = np.linalg.norm(positions[:, None] - positions, axis=-1)
    if distances[~np.eye(n_atoms, dtype=bool)].min() < 0.3:
        return
    graph, _, reduced = select(selection, from_atoms(ase.Atoms(f"C{n_atoms}", positions)))
    rest = (selection.rank_width, selection.temperature)
    enlarged = enlarged_k(distances, selection.cutoff, k, *rest)
    expected = published_diff_knn(distances, selection.cutoff, enlarged, *rest)
    assert np.abs(reduced.numpy() - expected[graph.source, graph.target]).max() < 1e-11
    if k > 13:  # among 8 atoms none then ranks above 0.7 k
        assert (enlarged == k).all()


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


def test_about_k_neighbors_are_kept_in_a_dense_crystal():
    """With both ranks equal the cut falls near rank 0.93 k."""
    selection = build_block("neighbors", "diff_knn", n_neighbors=30)
    graph, _, reduced = select(selection, crystal())
    degree = torch.bincount(graph.source[reduced < 1], minlength=4)
    assert ((degree >= 22) & (degree <= 30)).all()


# Shells


def shell(n_atoms: int, radius: float) -> Structure:
    """A centre, the first atom, and others around it at a radius (Å), all at equal distances from it."""
    return from_atoms(ase.Atoms(f"NC{n_atoms}", np.vstack([np.zeros(3), radius * sphere(n_atoms)])))


@pytest.mark.parametrize("n_atoms", [12, 24, 60, 200])
@pytest.mark.parametrize("radius", [3.5, 5.0])
def test_diff_knn_keeps_the_centre_of_a_shell_connected(n_atoms, radius):
    """However many equidistant neighbours there are, and however crowded these are themselves."""
    graph, _, reduced = select(build_block("neighbors", "diff_knn"), shell(n_atoms, radius))
    of_centre = reduced[graph.source == 0]
    assert len(of_centre) == n_atoms and of_centre.max() < 0.9
    degree = torch.bincount(graph.source[reduced < 1], minlength=n_atoms + 1)
    assert degree[1:].max() <= 18


def test_diff_knn_as_published_cuts_the_centre_off():
    """What the enlargement of k is for: 24 equal distances have a soft rank of 12 each."""
    structure = shell(24, 3.5)
    distances = np.linalg.norm(structure.positions[:, None] - structure.positions, axis=-1)
    assert np.nanmin(published_diff_knn(distances, 6.0, 12, 0.2, 0.1)[0]) > 1


def test_every_shell_of_more_than_k_weighs_the_same():
    block = build_block("neighbors", "diff_knn")
    counts = {n: select(block, shell(n, 3.5))[2][0].item() for n in (40, 60, 200)}
    assert max(counts.values()) - min(counts.values()) < 1e-3


def test_an_intruder_in_a_dense_body_stays_connected():
    """It ranks behind the k neighbours that all others have."""
    body = bulk("Cu", "fcc", a=3.61).repeat(5)
    body.pbc = False
    top = body.positions[np.argmax(body.positions[:, 2])]
    for distance in np.linspace(2.0, 5.0, 7):
        atoms = body + ase.Atoms("O", [top + np.array([0.3, 0.1, distance])])
        graph, _, reduced = select(build_block("neighbors", "diff_knn"), from_atoms(atoms))
        assert reduced[graph.source == len(body)].min() < 0.97


def test_ordinary_neighborhoods_are_as_published():
    """Close-packed crystals and molecules need no enlargement, to the last bit."""
    mended, published = build_block("neighbors", "diff_knn"), build_block("neighbors", "diff_knn")
    published.crowding = lambda *_: torch.zeros(1)
    for structure in (ethanol(), crystal(), *SYMMETRIC.values(), from_atoms(bulk("Cu")), from_atoms(bulk("Fe"))):
        graph, distance, reduced = select(mended, structure)
        assert torch.equal(published(distance, graph.source, graph.reverse, graph.n_atoms), reduced)
    graph, distance, reduced = select(mended, cage())
    assert not torch.equal(published(distance, graph.source, graph.reverse, graph.n_atoms), reduced)


# Adaptive cutoff


@pytest.mark.parametrize("structure", [*GENERIC, cage])
@pytest.mark.parametrize("k", [3, 16])
def test_adaptive_cutoffs_count_k_neighbors(structure, k):
    block = build_block("neighbors", "adaptive_cutoff", n_neighbors=k)
    graph, distance, _ = select(block, structure())
    cutoffs = block.cutoffs(distance, graph.source, graph.n_atoms)
    u = ((cutoffs[graph.source] - distance) / block.width).clamp(1e-12, 1 - 1e-12)
    counted = torch.zeros_like(cutoffs).index_add(0, graph.source, torch.sigmoid(1 / (1 - u) - 1 / u))
    assert (counted + k * (cutoffs / block.cutoff) ** 3 - k).abs().max() < 1e-11
    assert ((cutoffs > 0) & (cutoffs <= block.cutoff)).all()


def test_adaptive_cutoff_of_a_lone_atom_is_the_largest():
    block = build_block("neighbors", "adaptive_cutoff")
    none = torch.empty(0, dtype=torch.float64)
    cutoffs = block.cutoffs(none, torch.empty(0, dtype=torch.int64), 1)
    assert cutoffs.item() == pytest.approx(block.cutoff, abs=1e-12)


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


@pytest.mark.parametrize("argument", ["cutoff", "n_neighbors", "width"])
def test_adaptive_cutoff_needs_positive_arguments(argument):
    with pytest.raises(Exception, match="must be positive, not"):
        build_block("neighbors", "adaptive_cutoff", **{argument: 0.0})


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
