"""`Potential`: neighbour selection, envelope, basis, backbone and readout put together; energy, forces, stress.

E = sum over atoms of (scale * atomic_energy + repulsion + reference_energy[element]),   F = -dE/dx,
stress = dE/d(strain) / volume for a symmetric strain of positions and cell.

A readout that is not conservative gives F itself, and there is no stress.
"""

import math
from dataclasses import dataclass

import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

from mlip_design.blocks.contracts import (
    Backbone,
    Edges,
    Envelope,
    NeighborSelection,
    RadialBasis,
    Readout,
    Repulsion,
)
from mlip_design.blocks.padding import slots_within_source
from mlip_design.graph import AtomGraph

MAX_ATOMIC_NUMBER = 118


class UnknownElementError(ValueError):
    """A structure has elements the potential was not trained on."""


@dataclass(frozen=True)
class Statistics:
    """What a training set tells about its labels."""

    reference_energies: dict[int, float]
    """Atomic number -> eV an atom, by least squares."""
    force_rms: float
    """Root mean square of the force components, eV/Å; the scale of energies (in eV) and forces alike."""
    mean_neighbors: float = 1.0
    """Neighbours an atom has within the cutoff, on average; 1 where nobody counted them."""


@dataclass(frozen=True)
class Prediction:
    """What a potential says of a graph."""

    energy: Tensor
    """(n_graphs,) float64, eV, reference energies included."""
    energies: Tensor
    """(n_atoms,) float64, eV, the atomic contributions."""
    forces: Tensor | None = None
    """(n_atoms, 3), eV/Å."""
    stress: Tensor | None = None
    """(n_graphs, 3, 3), eV/Å^3, sign as in ASE; NaN for structures without volume."""


class Potential(nn.Module):
    """Any combination of blocks that keep the contracts of `mlip_design.blocks.contracts`."""

    def __init__(
        self,
        neighbors: NeighborSelection,
        envelope: Envelope,
        basis: RadialBasis,
        backbone: Backbone,
        readout: Readout,
        repulsion: Repulsion,
    ):
        super().__init__()
        self.neighbors = neighbors
        self.envelope = envelope
        self.basis = basis
        self.backbone = backbone
        self.readout = readout
        self.repulsion = repulsion
        unknown = torch.full((MAX_ATOMIC_NUMBER + 1,), torch.nan, dtype=torch.float64)
        self.register_buffer("reference_energies", unknown)
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("mean_neighbors", torch.ones((), dtype=torch.float64))

    def _apply(self, fn, recurse: bool = True) -> "Potential":
        """Conversions move what was calibrated but never round it."""
        kept = {name: getattr(self, name) for name in ("reference_energies", "scale", "mean_neighbors")}
        super()._apply(fn, recurse)
        for name, value in kept.items():
            setattr(self, name, value.to(getattr(self, name).device))
        return self

    @property
    def cutoff(self) -> float:
        """Å; candidates are needed up to here."""
        return self.neighbors.cutoff

    @property
    def equivariant(self) -> bool:
        """Whether forces turn with the structure; only where the backbone says so."""
        return getattr(self.backbone, "equivariant", False)

    @property
    def continuity_order(self) -> float:
        """How many derivatives of the energy are continuous: the least that any block promises (see `contracts`)."""
        blocks = (module for module in self.modules() if module is not self)
        return min(getattr(block, "continuity_order", math.inf) for block in blocks)

    @property
    def has_stress(self) -> bool:
        """Whether it can predict stress: where forces are a derivative."""
        return self.readout.conservative

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights and of the positions it expects."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def calibrate(self, statistics: Statistics) -> None:
        """Take over what a training set tells; the elements named there become known."""
        self.reference_energies.fill_(torch.nan)
        for number, energy in statistics.reference_energies.items():
            self.reference_energies[number] = energy
        self.scale.fill_(statistics.force_rms)
        self.mean_neighbors.fill_(statistics.mean_neighbors)

    @property
    def elements(self) -> list[int]:
        """Atomic numbers the potential knows, ascending."""
        return torch.nonzero(~self.reference_energies.isnan()).flatten().tolist()

    def check_elements(self, numbers, where: str = "structure") -> None:
        """Raise `UnknownElementError` if any atomic number (array of int) was not in training."""
        unknown = sorted({int(n) for n in numbers} - set(self.elements))
        if unknown:
            named, known = (", ".join(chemical_symbols[n] for n in ns) for ns in (unknown, self.elements))
            raise UnknownElementError(f"{where}: element {named} is unknown to this potential (it knows {known})")

    def forward(
        self, graph: AtomGraph, forces: bool = True, stress: bool = False, create_graph: bool = False
    ) -> Prediction:
        """Energy of every structure and, by autograd unless the readout has them, forces and stress.

        create_graph: keep the graph of the derivatives, for a loss on forces. The input is left as it was. Raises
        ValueError for a stress that there is not.
        """
        if not self.readout.conservative:
            return self.direct(graph, forces, stress)
        with torch.set_grad_enabled(forces or stress or torch.is_grad_enabled()):
            positions = graph.positions.detach().requires_grad_(forces)
            strain = torch.zeros_like(graph.cell, requires_grad=True) if stress else None
            energies = self.atomic_energies(graph, positions, strain)
            energy = energies.new_zeros(graph.n_graphs).index_add(0, graph.graph_index, energies)
            wanted = [x for x, is_wanted in ((positions, forces), (strain, stress)) if is_wanted]
            gradients = (
                list(torch.autograd.grad(energy.sum(), wanted, create_graph=create_graph)) if wanted else []
            )
        if not create_graph and not torch.is_grad_enabled():
            energy, energies = energy.detach(), energies.detach()
        return Prediction(
            energy=energy,
            energies=energies,
            forces=-gradients.pop(0) if forces else None,
            stress=per_volume(gradients.pop(0), graph.cell) if stress else None,
        )

    def direct(self, graph: AtomGraph, forces: bool, stress: bool) -> Prediction:
        """Energy of every structure and the forces of the readout. Raises ValueError if stress is asked for."""
        if stress:
            raise ValueError("a potential with a readout that is not conservative has no stress")
        edges = self.edges(graph, graph.positions, None)
        features = self.backbone(graph.numbers, edges)
        energies = self.energies_of(features, graph.numbers, edges)
        return Prediction(
            energy=energies.new_zeros(graph.n_graphs).index_add(0, graph.graph_index, energies),
            energies=energies,
            forces=self.scale.to(features.dtype) * self.readout.forces(features, edges) if forces else None,
        )

    def atomic_energies(self, graph: AtomGraph, positions: Tensor, strain: Tensor | None) -> Tensor:
        """(n_atoms,) float64, eV, of positions (n_atoms, 3) under a strain (n_graphs, 3, 3), None for none."""
        edges = self.edges(graph, positions, strain)
        return self.energies_of(self.backbone(graph.numbers, edges), graph.numbers, edges)

    def energies_of(self, features: Tensor, numbers: Tensor, edges: Edges) -> Tensor:
        """(n_atoms,) float64, eV, of features (n_atoms, n_features)."""
        learned = self.scale * self.readout(features).double()
        return learned + self.repulsion(numbers, edges) + self.reference_energies[numbers]

    def edges(self, graph: AtomGraph, positions: Tensor, strain: Tensor | None) -> Edges:
        """The edges that neighbour selection keeps (x < 1), with weights and radial features.

        positions: (n_atoms, 3), Å. strain: (n_graphs, 3, 3), dimensionless, of positions and cell; None for none.
        """
        edge_graph = graph.graph_index.index_select(0, graph.source)
        ends = (positions.index_select(0, graph.target), positions.index_select(0, graph.source))
        displacement = ends[0] - ends[1] + times(graph.shift, graph.cell, edge_graph)
        if strain is not None:
            deformation = 0.5 * (strain + strain.transpose(1, 2))
            displacement = displacement + times(displacement, deformation, edge_graph)
        distance = torch.linalg.vector_norm(displacement, dim=1)
        reduced = self.neighbors(distance, graph.source, graph.reverse, graph.n_atoms)
        inside = reduced < 1
        kept = torch.nonzero(inside & inside.index_select(0, graph.reverse)).squeeze(1)
        renumbered = torch.empty_like(graph.source)
        renumbered[kept] = torch.arange(len(kept), device=kept.device)
        distance = distance.index_select(0, kept)
        weight, log_weight = self.envelope(reduced.index_select(0, kept))
        source = graph.source[kept]
        slot, n_slots = slots_within_source(source, graph.n_atoms)
        return Edges(
            source=source,
            target=graph.target[kept],
            reverse=renumbered[graph.reverse[kept]],
            displacement=displacement.index_select(0, kept),
            distance=distance,
            weight=weight,
            log_weight=log_weight,
            radial=self.basis(distance),
            slot=slot,
            n_slots=n_slots,
        )


def times(vectors: Tensor, matrices: Tensor, index: Tensor) -> Tensor:
    """vectors (n, 3) times those of matrices (n_graphs, 3, 3) that index (n,) names: (n, 3)."""
    if len(matrices) == 1:
        return vectors @ matrices[0]
    rows = matrices.index_select(0, index).unbind(1)
    return sum(number[:, None] * row for number, row in zip(vectors.unbind(1), rows, strict=True))


def per_volume(values: Tensor, cell: Tensor) -> Tensor:
    """values (n_graphs, 3, 3) over volumes of cells (n_graphs, 3, 3), Å; NaN, without gradient, where there is none."""
    volume = torch.linalg.det(cell).abs()[:, None, None]
    return torch.where(volume > 0, values / volume.where(volume > 0, 1.0), torch.nan)
