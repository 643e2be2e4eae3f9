"""The padded per-centre layout: edges of one centre side by side, so that a centre's edges meet in dense algebra."""

import torch
from torch import Tensor


def slots_within_source(source: Tensor, n_atoms: int) -> tuple[Tensor, int]:
    """Position of every edge among the edges of its source, and the largest number of edges of any source.

    source: (n_edges,) int64, ascending. Returns slots (n_edges,) int64, counted from 0, and their number (0 if
    there are no edges).
    """
    counts = torch.bincount(source, minlength=n_atoms)
    first = torch.cumsum(counts, 0) - counts
    slots = torch.arange(len(source), device=source.device) - first[source]
    return slots, int(counts.max()) if len(source) else 0


def pad(values: Tensor, rows: Tensor, n_rows: int, fill: float = 0.0) -> Tensor:
    """Write values (n_edges, ...) to the given rows (n_edges,) of a tensor (n_rows, ...) filled with `fill`."""
    padded = values.new_full((n_rows, *values.shape[1:]), fill)
    return padded.index_copy(0, rows, values)
