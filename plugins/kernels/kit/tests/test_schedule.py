"""Calls compute every pair that the spans allow, once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
import maskkit
from maskkit_blocks import Schedules, blocks

EXPRESSIONS = [
    "causal",
    "sliding_window(window_size=50)",
    "block_diagonal(block_size=64)",
    "sink(window_size=50)",
    "longformer(window_size=31, global_tokens=(0, 1, 5))",
    "prefix_lm(prefix_len=100)",
    "dilated(window_size=9, dilation=4)",
    "block_causal(block_size=64)",
    "~causal",
    "bigbird(seed=1)",
    "causal & ~banded(band_width=5)",
    "strided(stride=32)",
]


def spans_of(mask):
    queries, keys = mask.shape
    sizes = dict(queries=queries, keys=keys, head_dim=64, value_dim=64, heads=1, kv_heads=1)
    [spans], _ = maskkit.Problem(mask=mask, **sizes).planes()
    return spans


def counted(found, shape):
    """How often the calls compute each pair."""
    times = np.zeros(shape, int)
    for call in (call for layer in found for call in layer):
        allowed = np.ones((call.rows, call.width), bool)
        if call.lo is not None:
            key = np.arange(call.width)
            allowed = ((key >= call.lo[..., None]) & (key < call.hi[..., None])).any(0)
        for i in range(call.count):
            keys = (
                call.key + i * call.key_step + np.arange(call.width)
                if call.runs is None
                else call.gathered(i, i + 1)[0]
            )
            times[np.ix_(call.query + i * call.query_step + np.arange(call.rows), keys)] += allowed
    return times


def assert_covered(found, rows, allowed):
    """Every row that sees something is in one block, and its keys are in the runs of that."""
    read, times = np.zeros_like(allowed), np.zeros(len(allowed), int)
    for first, last, runs in zip(found.first, found.last, found.runs.to_bool(), strict=True):
        assert 0 < last - first <= rows
        read[first:last] |= runs
        times[first:last] += 1
    assert times.max(initial=0) <= 1
    assert (read | ~allowed).all()


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("rows", [16, 32, 128])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_calls_compute_every_allowed_pair_once(expression, rows, apart):
    mask = maskkit.parse(expression, seq_len=1024)
    assert np.array_equal(counted(Schedules(spans_of(mask)).layers(rows, apart), mask.shape), mask.allowed())


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_calls_compute_every_allowed_pair_of_any_mask_once(data):
    queries, keys, rows = (data.draw(st.integers(1, most)) for most in (40, 40, 9))
    bits = data.draw(st.integers(0, 2 ** (queries * keys) - 1))
    allowed = np.array([bits >> i & 1 for i in range(queries * keys)], bool).reshape(queries, keys)
    spans = spans_of(maskkit.from_array(allowed, true="allowed"))
    assert np.array_equal(counted(Schedules(spans).layers(rows, data.draw(st.booleans())), allowed.shape), allowed)
    exact = data.draw(st.booleans())
    assert_covered(blocks(spans, rows, exact), rows, allowed)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_blocks_read_all_keys_of_their_rows(expression, exact):
    mask = maskkit.parse(expression, seq_len=1024)
    assert_covered(blocks(spans_of(mask), 32, exact), 32, mask.allowed())
