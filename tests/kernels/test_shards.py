"""Shards hold every row once, evenly by area, and count what ranks receive."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
import maskkit
from maskkit.errors import ConfigError

PLANS = ["by_area", "contiguous", "head_tail", "pareto"]


def drawn(length):
    causal = maskkit.create("causal", seq_len=length)
    yield causal
    yield maskkit.create("sliding_window", seq_len=length, window_size=9)
    yield maskkit.create("document", lengths=[length // 3, length - length // 3]) & causal


@pytest.mark.parametrize("plan", PLANS)
@settings(deadline=None, max_examples=40)
@given(st.integers(3, 200), st.integers(1, 9), st.integers(1, 40))
def test_every_row_is_held_once_and_counts_are_those_of_the_dense_mask(plan, length, ranks, chunk):
    for mask in drawn(length):
        shards = maskkit.shards(mask, ranks, chunk, plan)
        rows = [shards.rows(rank) for rank in range(ranks)]
        assert sorted(np.concatenate(rows)) == list(range(length))
        assert all(r.dtype == np.int64 and (np.diff(r) > 0).all() for r in rows)
        allowed = mask.allowed()
        assert shards.areas == tuple(allowed[r].sum() for r in rows)
        received, sources = 0, 0
        others = [allowed[own].any(0) & (shards.ranks != rank) for rank, own in enumerate(rows)]
        assert shards.fetched(mask).tolist() == [keys.sum() for keys in others]
        for rank, own in enumerate(rows):
            chunks = np.unique(np.flatnonzero(allowed[own].any(0)) // chunk)
            keys = np.flatnonzero(np.isin(np.arange(length) // chunk, chunks) & (shards.ranks != rank))
            received += len(keys)
            sources += len(np.unique(shards.ranks[keys]))
        assert (sum(shards.received), shards.messages) == (received, sources)


def test_a_million_rows_of_three_masks_are_even_over_1024_ranks():
    """Within 2% of the mean; planned in under 100 ms of a core's time."""
    length = 2**20
    causal = maskkit.create("causal", seq_len=length)
    lengths = np.random.default_rng(0).multinomial(length - 2000, np.ones(2000) / 2000) + 1
    window = maskkit.create("sliding_window", seq_len=length, window_size=1024)
    masks = {causal: 4, causal & window: 24, maskkit.create("document", lengths=lengths) & causal: 4}
    took = []
    for _ in range(3):
        start = time.process_time()
        shards = maskkit.shards(masks, 1024)
        took.append(time.process_time() - start)
    assert shards.balance <= 1.02
    assert min(took) < 0.1


def test_a_window_is_cheapest_together():
    """Areas are equal anyway, so that the quickest plan keeps neighbours together: one source for each rank but one."""
    window = maskkit.create("sliding_window", seq_len=131072, window_size=1024)
    shards = maskkit.shards(maskkit.create("causal", seq_len=131072) & window, 8, plan="pareto")
    assert shards.messages == 7
    assert shards.fetched(window & maskkit.create("causal", seq_len=131072)).tolist() == [0] + [1023] * 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"world_size": 0}, "world_size must be a positive integer"),
        ({"world_size": 2, "chunk": 0}, "chunk must be a positive integer"),
        ({"world_size": 2, "plan": "ring"}, "plan must be one of by_area, contiguous, head_tail, pareto"),
    ],
)
def test_what_cannot_be_is_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.shards(maskkit.create("causal", seq_len=8), **arguments)


def test_unlike_lengths_and_unsquare_masks_are_refused():
    causal = maskkit.create("causal", seq_len=8)
    with pytest.raises(ConfigError, match="one length"):
        maskkit.shards({causal: 1, maskkit.create("causal", seq_len=9): 1}, 2)
    with pytest.raises(ConfigError, match="keys of its own queries"):
        maskkit.shards(causal[:4, :], 2)
