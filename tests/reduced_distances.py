"""Neighbour selections applied to structures, for the tests."""

import torch
from conftest import build_block

from mlip_design.graph import AtomGraph, batch_structures
from mlip_design.structures import Structure


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
