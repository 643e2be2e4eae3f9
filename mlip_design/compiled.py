"""A potential for training, its energies and their derivatives compiled to few fused operations (`torch.compile`).

dE/dx = sum over edges of dE/d(edge) d(edge)/dx. The first factor, nearly all of the work, is one compiled function of
tensors whose sizes vary, with a compiled derivative by the weights; the second is left to autograd, since neighbour
selection decides how many edges there are. `torch.compile` has no second derivatives of its own: the first are part of
what is compiled.
"""

import os
import shutil

import torch
from torch import Tensor

from mlip_design.blocks.contracts import Edges
from mlip_design.graph import AtomGraph
from mlip_design.potential import Potential, Prediction, per_volume

FLOATS = ("displacement", "distance", "weight", "log_weight", "radial")
"""Fields of `Edges` that depend on positions."""
TOLERANCE = 0.01
"""Of derivatives in float32 against those of autograd, in units of their norm; a wrong one is off by much more."""


class CompiledPotential:
    """Predictions of a potential for a loss: differentiable by the weights, not by positions.

    Compiled at the first call, for all sizes. Raises ValueError for a potential with direct forces, for weights outside
    of backbone, readout and repulsion, and where there is no C++ compiler.
    """

    def __init__(self, potential: Potential):
        if not potential.readout.conservative:
            raise ValueError("compile: true is for forces that are a gradient, not for model/readout=direct")
        for name in ("neighbors", "envelope", "basis"):
            if list(getattr(potential, name).parameters()):
                raise ValueError(f"compile: true takes no model.{name} with weights to train")
        compiler = os.environ.get("CXX", "g++")
        if shutil.which(compiler) is None:
            raise ValueError(f"compile: true needs a C++ compiler, and {compiler!r} is not found (set CXX)")
        self.potential = potential
        self.energies_and_slopes = torch.compile(self._energies_and_slopes, dynamic=True, fullgraph=True)
        self.is_compiled = False

    def __call__(self, graph: AtomGraph, stress: bool = False) -> Prediction:
        """Energies, forces and, if asked for, stresses of a graph. Raises RuntimeError: see `check`."""
        was_compiled = self.is_compiled
        prediction = self.predict(graph, stress)
        if self.is_compiled and not was_compiled:
            self.check(graph)
        return prediction

    def predict(self, graph: AtomGraph, stress: bool = False) -> Prediction:
        """The same, unchecked."""
        positions = graph.positions.detach().requires_grad_()
        strain = torch.zeros_like(graph.cell, requires_grad=True) if stress else None
        edges = self.potential.edges(graph, positions, strain)
        if edges.n_slots < 2:  # sizes of 0 and 1 would be compiled each for itself
            return self.potential(graph, stress=stress, create_graph=True)
        moving = [name for name in FLOATS if getattr(edges, name).requires_grad]
        fixed = edges._replace(**{name: getattr(edges, name).detach() for name in moving})
        energies, slopes = self.energies_and_slopes(graph.numbers, fixed)
        self.is_compiled = True
        gradients = torch.autograd.grad(
            [getattr(edges, name) for name in moving],
            [positions, strain] if stress else [positions],
            [slopes[name] for name in moving],
            create_graph=True,
        )
        return Prediction(
            energy=energies.new_zeros(graph.n_graphs).index_add(0, graph.graph_index, energies),
            energies=energies,
            forces=-gradients[0],
            stress=per_volume(gradients[1], graph.cell) if stress else None,
        )

    def _energies_and_slopes(self, numbers: Tensor, edges: Edges) -> tuple[Tensor, dict[str, Tensor]]:
        """Atomic energies (n_atoms,), eV, and the derivatives of their sum by the floats of the edges."""

        def total(floats: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            moved = edges._replace(**floats)
            energies = self.potential.energies_of(self.potential.backbone(numbers, moved), numbers, moved)
            return energies.sum(), energies

        slopes, energies = torch.func.grad(total, has_aux=True)({name: getattr(edges, name) for name in FLOATS})
        return energies, slopes

    def check(self, graph: AtomGraph) -> None:
        """Compare derivatives by the weights, of energies and forces of a graph, with those of autograd.

        `torch.compile` silently leaves out second derivatives of a `torch.autograd.Function`: blocks do without while
        `torch.compiler.is_compiling()`. Raises RuntimeError if a block does not.
        """
        found = self.slopes_of_weights(self.predict(graph))
        expected = self.slopes_of_weights(self.potential(graph, create_graph=True))
        error = torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected)
        if not error < TOLERANCE:
            raise RuntimeError(
                f"compile: derivatives by the weights are off by {error:.1%}; does a block use torch.autograd.Function?"
            )

    def slopes_of_weights(self, prediction: Prediction) -> Tensor:
        """Derivatives by all weights, one after the other, of the sum of energies and squares of forces."""
        weights = [weight for weight in self.potential.parameters() if weight.requires_grad]
        number = prediction.energy.sum() + prediction.forces.square().sum()
        slopes = torch.autograd.grad(number, weights, materialize_grads=True)
        return torch.cat([slope.flatten() for slope in slopes])
