"""Adaptive cutoffs hold the neighbours that they should."""

import pytest
import torch
from conftest import GENERIC, build_block, cage
from reduced_distances import select


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


@pytest.mark.parametrize("argument", ["cutoff", "n_neighbors", "width"])
def test_adaptive_cutoff_needs_positive_arguments(argument):
    with pytest.raises(Exception, match="must be positive, not"):
        build_block("neighbors", "adaptive_cutoff", **{argument: 0.0})
