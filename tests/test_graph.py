"""Candidate pairs against a sum over images by brute force, and batches of graphs."""

from itertools import product

import numpy as np
import pytest
import torch
from conftest import GENERIC, crystal, ethanol, isolated, skewed, slab
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design.graph import AtomGraph, batch_structures
from mlip_design.neighbors import CandidatePairs, candidate_pairs, closest_pair
from mlip_design.structures import Structure

ROUNDING = 1e-9
"""Å; pairs this close to the cutoff may be found or not."""

Cell = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def systems(draw) -> Cell:
    """Positions inside and outside of skewed cells, some directions periodic."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    lengths = draw(st.tuples(*[st.floats(1.5, 8.0)] * 3))
    skew = draw(st.floats(0.0, 1.2))
    cell = np.diag(lengths) + np.tril(random.uniform(-skew, skew, (3, 3)), -1) * np.array(lengths)
    positions = random.uniform(-1.5, 2.5, (draw(st.integers(1, 4)), 3)) @ cell
    return positions, cell, np.array(draw(st.tuples(*[st.booleans()] * 3)))


def brute_force(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> set[tuple]:
    """Every (i, j, S) closer than the cutoff, by going through all images that can be."""
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    spread = np.ptp(positions @ np.linalg.inv(cell), axis=0)
    reach = np.where(pbc, np.ceil(cutoff / heights + spread), 0).astype(int)
    shifts = np.array(list(product(*[range(-n, n + 1) for n in reach])))
    found = set()
    for i, j in product(range(len(positions)), repeat=2):
        distance = np.linalg.norm(positions[j] + shifts @ cell - positions[i], axis=1)
        close = distance < cutoff
        if i == j:
            close &= shifts.any(axis=1)
        found |= {(i, j, *shift) for shift in shifts[close].tolist()}
    return found


def listed(pairs: CandidatePairs) -> list[tuple]:
    """(i, j, S) of every pair, in order."""
    return [tuple(row) for row in np.column_stack([pairs.source, pairs.target, pairs.shift]).tolist()]


def is_reverse(pairs: CandidatePairs) -> bool:
    """Whether `reverse` points from every pair to its opposite and back."""
    opposite = [(j, i, -a, -b, -c) for i, j, a, b, c in listed(pairs)]
    points_there = [opposite[r] for r in pairs.reverse] == listed(pairs)
    return points_there and np.array_equal(pairs.reverse[pairs.reverse], np.arange(len(pairs.reverse)))


@given(system=systems(), cutoff=st.floats(1.0, 6.5))
@settings(max_examples=60, deadline=None)
def test_candidates_are_those_of_brute_force(system, cutoff):
    pairs = candidate_pairs(*system, cutoff)
    found = listed(pairs)
    assert len(set(found)) == len(found)
    assert brute_force(*system, cutoff - ROUNDING) <= set(found) <= brute_force(*system, cutoff + ROUNDING)
    assert found == sorted(found)
    assert is_reverse(pairs)


@given(system=systems(), distance=st.sampled_from([20.0, 1e3, 1e6]), axis=st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_atoms_that_fly_off_change_nothing_for_the_others(system, distance, axis):
    """Away from molecules and surfaces; the search of vesin would crash or take minutes."""
    positions, cell, pbc = system
    pbc[axis] = False
    cutoff = 4.987654321  # which no distance of a tidy cell equals
    pairs = listed(candidate_pairs(positions, cell, pbc, cutoff))
    height = 1 / np.linalg.norm(np.linalg.inv(cell)[:, axis])
    lost = positions + distance * cell[axis] / height
    both = candidate_pairs(np.vstack([positions, lost + positions.max(0) - positions.min(0)]), cell, pbc, cutoff)
    n_atoms = len(positions)
    near = [pair for pair in listed(both) if pair[0] < n_atoms and pair[1] < n_atoms]
    far = [(i - n_atoms, j - n_atoms, *s) for i, j, *s in listed(both) if i >= n_atoms and j >= n_atoms]
    assert near == pairs
    assert distance > 1e3 or far == pairs  # rounding of large numbers may move a pair across the cutoff


@pytest.mark.parametrize("lengths", [(1.0, 1e3, 1e3), (3.0, 3.0, 1e4), (1e4, 1e4, 1e4), (0.5, 0.9, 1e3)])
@pytest.mark.parametrize("cutoff", [1.0, 6.0])
def test_cells_however_flat_or_long(lengths, cutoff):
    positions = np.array([[0.0, 0.0, 0.0], [0.1, 0.3, 0.7]])
    system = positions, np.diag(lengths), np.array([True, True, True])
    assert set(listed(candidate_pairs(*system, cutoff))) == brute_force(*system, cutoff)


def test_a_wrong_list_is_caught():
    structure = skewed()
    pairs = candidate_pairs(structure.positions, structure.cell, structure.pbc, 4.0)
    shorter = CandidatePairs(*(value[1:] for value in pairs))
    assert set(listed(shorter)) != brute_force(structure.positions, structure.cell, structure.pbc, 4.0)
    assert not is_reverse(pairs._replace(reverse=np.arange(len(pairs.source))))


@given(system=systems())
@settings(max_examples=40, deadline=None)
def test_closest_pair_is_that_of_brute_force(system):
    positions, cell, pbc = system
    found = closest_pair(positions, cell, pbc, 1.0)
    pairs = brute_force(positions, cell, pbc, 1.0)
    distances = [np.linalg.norm(positions[j] + np.array(shift) @ cell - positions[i]) for i, j, *shift in pairs]
    if found is None:
        assert not distances
    else:
        assert found[2] == pytest.approx(min(distances), abs=1e-12)


@pytest.mark.parametrize("structure", GENERIC)
def test_displacements_of_a_graph_point_from_source_to_target(structure):
    system = structure()
    graph = batch_structures([system], 6.0, torch.float64)
    cell = torch.from_numpy(system.cell)
    vectors = graph.positions[graph.target] + graph.shift @ cell - graph.positions[graph.source]
    assert len(vectors) and ((vectors.norm(dim=1) > 0.5) & (vectors.norm(dim=1) < 6.0)).all()
    assert (vectors + vectors[graph.reverse]).abs().max() < 1e-12
    assert (graph.source.diff() >= 0).all()


def test_batch_joins_without_touching():
    structures = [ethanol(), isolated(), crystal(), slab()]
    sizes = [len(s.numbers) for s in structures]
    graph = batch_structures(structures, 5.0, torch.float32)
    assert graph.n_graphs == 4 and graph.n_atoms == sum(sizes)
    assert graph.atoms_per_graph.tolist() == sizes
    assert graph.positions.dtype == graph.cell.dtype == graph.shift.dtype == torch.float32
    assert torch.equal(graph.graph_index[graph.source], graph.graph_index[graph.target])
    assert torch.equal(graph.source[graph.reverse], graph.target)
    assert torch.equal(graph.shift[graph.reverse], -graph.shift)
    first = 0
    for index, structure in enumerate(structures):
        alone = batch_structures([structure], 5.0, torch.float32)
        mine = graph.graph_index[graph.source] == index
        assert torch.equal(graph.source[mine] - first, alone.source)
        assert torch.equal(graph.target[mine] - first, alone.target)
        assert torch.equal(graph.cell[index], alone.cell[0])
        first += len(structure.numbers)


def with_labels(structure: Structure, stress: bool) -> Structure:
    """The structure with made-up labels."""
    labels = {"energy": 1.0 / 3, "forces": structure.positions * 2, "stress": np.eye(3) if stress else None}
    return Structure(**{**vars(structure), **labels})


def test_labels_are_kept_where_they_are_known():
    graph = batch_structures([with_labels(ethanol(), False), with_labels(crystal(), True)], 5.0, torch.float32)
    assert graph.energy.dtype == torch.float64 and graph.energy.tolist() == [1 / 3, 1 / 3]
    assert torch.equal(graph.forces, graph.positions * 2)
    assert graph.stress[0].isnan().all() and torch.equal(graph.stress[1], torch.eye(3))


def test_labels_are_absent_if_a_structure_has_none():
    graph = batch_structures([with_labels(ethanol(), False), crystal()], 5.0, torch.float64)
    assert graph.energy is None and graph.forces is None and graph.stress is None


def test_no_edges():
    graph = batch_structures([isolated()], 6.0, torch.float64)
    assert graph.source.shape == graph.reverse.shape == (0,) and graph.shift.shape == (0, 3)


def test_moved_to_a_device_it_is_the_same_graph():
    graph = batch_structures([with_labels(crystal(), True)], 5.0, torch.float64).to("cpu")
    assert isinstance(graph, AtomGraph) and graph.stress is not None
