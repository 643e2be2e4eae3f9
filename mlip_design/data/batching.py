"""Batches limited by the number of atoms, the same for a seed and an epoch wherever and whenever they are made."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

WINDOW = 16
"""Batches whose structures are sorted by size together, so that a batch holds structures of like size."""


class AtomBatchSampler(Sampler[list[int]]):
    """Index lists of at most `max_atoms` atoms; a larger structure makes a batch of its own.

    With `shuffle`, structures are drawn in an order that depends on (seed, epoch) only, sorted by size within windows
    of a few batches (less padding), and the batches shuffled again; every epoch has as many batches as epoch 0 (a
    surplus is dropped, a lack filled up with batches of the same epoch), so that schedules know their length. Each
    of `n_ranks` processes takes every n_ranks-th batch.
    """

    def __init__(
        self, sizes: np.ndarray, max_atoms: int, shuffle: bool, seed: int = 0, rank: int = 0, n_ranks: int = 1
    ):
        self.sizes = sizes
        self.max_atoms = max_atoms
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.n_ranks = n_ranks
        self.epoch = 0
        n_batches = len(self.draw(epoch=0))
        self.n_batches = -(-n_batches // n_ranks) * n_ranks if shuffle else n_batches

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before every epoch; a resumed run draws the batches it would have drawn."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(range(self.rank, self.n_batches, self.n_ranks))

    def __iter__(self) -> Iterator[list[int]]:
        batches = self.draw(self.epoch)
        for position in range(self.rank, self.n_batches, self.n_ranks):
            yield batches[position % len(batches)].tolist()

    def draw(self, epoch: int) -> list[np.ndarray]:
        """The batches of all ranks in one epoch."""
        if not self.shuffle:
            limit = min(self.max_atoms, int(self.sizes.sum()) // self.n_ranks)  # a batch for every rank
            return cut_by_atoms(np.arange(len(self.sizes)), self.sizes, limit)
        random = np.random.default_rng([self.seed, epoch])
        batches = []
        for window in cut_by_atoms(random.permutation(len(self.sizes)), self.sizes, WINDOW * self.max_atoms):
            by_size = window[np.argsort(self.sizes[window], kind="stable")]
            batches.extend(cut_by_atoms(by_size, self.sizes, self.max_atoms))
        return [batches[i] for i in random.permutation(len(batches))]


def cut_by_atoms(order: np.ndarray, sizes: np.ndarray, limit: int) -> list[np.ndarray]:
    """Cut `order` into consecutive pieces of at most `limit` atoms each, at least one structure a piece."""
    pieces, start, atoms = [], 0, 0
    for position, size in enumerate(sizes[order].tolist()):
        if atoms and atoms + size > limit:
            pieces.append(order[start:position])
            start, atoms = position, 0
        atoms += size
    return [*pieces, order[start:]] if len(order) else []
