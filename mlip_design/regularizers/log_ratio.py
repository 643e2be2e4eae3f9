"""Penalty on the published slope along labelled bond scans: what the Force Smoothness Deviation is the maximum of.

Along some neighbouring frames of a scan, with L(a) of `mlip_design.bsct.score` (arXiv:2602.04861):

    penalty = weight * mean over neighbouring frames of |diff(L) / diff(a)| * 1 Å

The scans must be training data: whoever trains on scans must not be judged by them.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mlip_design.bsct.runner import structures_of
from mlip_design.bsct.scan import Scan
from mlip_design.graph import AtomGraph, batch_structures
from mlip_design.potential import Potential


class LogRatio(nn.Module):
    """weight: of the penalty, dimensionless. scans: labelled, of training systems. n_frames: neighbours a step.

    floor: e, eV/Å. seed: of the random choice. Raises ValueError for no scans, or fewer than two frames.
    """

    def __init__(self, weight: float, scans: Sequence[Scan], n_frames: int, floor: float, seed: int):
        super().__init__()
        if not scans or n_frames < 2 or floor <= 0:
            raise ValueError(
                f"regularizer: log_ratio needs scans of training systems (data=bsct has them), n_frames >= 2 "
                f"and floor > 0; not {len(scans)} scans, {n_frames}, {floor}"
            )
        self.weight = weight
        self.scans = scans
        self.n_frames = n_frames
        self.floor = floor
        self.seed = seed

    def forward(self, potential: Potential, graph: AtomGraph, step: int) -> Tensor:
        """Scalar penalty, dimensionless; differentiable. step: of the training, which decides the random choice."""
        rng = np.random.default_rng((self.seed, step))
        scan = self.scans[rng.integers(len(self.scans))]
        first = rng.integers(max(len(scan.lengths) - self.n_frames, 0) + 1)
        return self.weight * self.slopes(potential, scan, slice(first, first + self.n_frames)).abs().mean()

    def slopes(self, potential: Potential, scan: Scan, frames: slice) -> Tensor:
        """diff(L) / diff(a) between the given frames of a scan, (n_frames - 1,), 1/Å."""
        potential.check_elements(scan.numbers, f"regularizer.scans: {scan.name}")
        cells = None if scan.cells is None else scan.cells[frames]
        structures = structures_of(scan.numbers, scan.positions[frames], cells)
        inputs = batch_structures(structures, potential.cutoff, potential.dtype).to(potential.device)
        predicted = potential(inputs, create_graph=True).forces.unflatten(0, (len(structures), -1))
        lowest = scan.forces[np.argmin(scan.energies)]

        def logarithm(forces: Tensor) -> Tensor:
            return torch.log((forces - forces.new_tensor(lowest)).square().sum((1, 2)).clamp(min=self.floor**2))

        ratio = logarithm(predicted) - logarithm(predicted.new_tensor(scan.forces[frames]))
        return ratio.diff() / ratio.new_tensor(np.diff(scan.lengths[frames]))
