"""`diff_knn` is its formula, the published one where atoms are not crowded, and leaves no atom of a shell alone."""

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk
from conftest import SYMMETRIC, build_block, cage, crystal, ethanol
from hypothesis import given, settings
from hypothesis import strategies as st
from reduced_distances import select

from mlip_design.bsct.probe.rays import sphere
from mlip_design.structures import Structure, from_atoms


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
