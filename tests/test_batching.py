"""Batches of an epoch: every structure once, within the limit, shared out over ranks."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_design.data.batching import AtomBatchSampler

shapes = {
    "sizes": st.lists(st.integers(1, 40), min_size=1, max_size=400).map(np.array),
    "max_atoms": st.integers(1, 120),
    "seed": st.integers(0, 2**32 - 1),
    "epoch": st.integers(0, 50),
}


@given(**shapes)
@settings(deadline=None)
def test_batches_of_an_epoch(sizes, max_atoms, seed, epoch):
    """Every structure once, except for a surplus over the length of epoch 0 or a lack that is filled up."""
    sampler = AtomBatchSampler(sizes, max_atoms, shuffle=True, seed=seed)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    drawn = sampler.draw(epoch)
    assert sorted(np.concatenate(drawn).tolist()) == list(range(len(sizes)))
    assert len(batches) == len(sampler) == len(sampler.draw(0))
    assert batches == [drawn[i % len(drawn)].tolist() for i in range(len(batches))]
    for batch in batches:
        assert sizes[batch].sum() <= max_atoms or len(batch) == 1


@given(**shapes, n_ranks=st.integers(1, 5))
@settings(deadline=None)
def test_ranks_share_the_batches(sizes, max_atoms, seed, epoch, n_ranks):
    """Disjoint and equally many, as long as there is one for each; a lack is filled with batches of the epoch."""
    ranks = [AtomBatchSampler(sizes, max_atoms, True, seed, rank, n_ranks) for rank in range(n_ranks)]
    for sampler in ranks:
        sampler.set_epoch(epoch)
    shares = [[tuple(batch) for batch in sampler] for sampler in ranks]
    n_drawn = len(ranks[0].draw(epoch))
    assert {len(share) for share in shares} == {len(sampler) for sampler in ranks} == {len(ranks[0])}
    in_order = [batch for step in zip(*shares, strict=True) for batch in step]
    assert len(set(in_order)) == min(n_drawn, len(in_order))
    assert len(set(in_order[:n_drawn])) == min(n_drawn, len(in_order))


def test_an_epoch_can_be_drawn_again():
    sizes = np.random.default_rng(0).integers(3, 20, size=500)
    one, other = (AtomBatchSampler(sizes, 100, shuffle=True, seed=7) for _ in range(2))
    for epoch in (4, 0, 9):
        one.set_epoch(epoch)
        other.set_epoch(epoch)
        assert list(one) == list(other) == list(one)
    epochs = [[b.tolist() for b in one.draw(epoch)] for epoch in range(5)]
    assert all(a != b for a, b in itertools.combinations(epochs, 2))
    assert [b.tolist() for b in AtomBatchSampler(sizes, 100, True, seed=8).draw(0)] != epochs[0]


def test_training_batches_hold_structures_of_like_size():
    """Sorting within windows: less padding than at random."""
    sizes = np.random.default_rng(0).integers(3, 40, size=2000)
    batches = AtomBatchSampler(sizes, 200, shuffle=True).draw(0)
    spread = np.mean([np.ptp(sizes[batch]) for batch in batches])
    assert spread < 6


@given(sizes=shapes["sizes"], max_atoms=shapes["max_atoms"], n_ranks=st.integers(1, 4))
@settings(deadline=None)
def test_evaluation_takes_everything_in_order(sizes, max_atoms, n_ranks):
    ranks = [AtomBatchSampler(sizes, max_atoms, False, 0, rank, n_ranks) for rank in range(n_ranks)]
    taken = [index for sampler in ranks for batch in sampler for index in batch]
    assert sorted(taken) == list(range(len(sizes)))
    if n_ranks == 1:
        assert taken == sorted(taken)
