"""Spans are sets of keys: every operation equals the one on booleans, and the result is canonical."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from maskkit import Spans

shapes = st.tuples(st.integers(1, 6), st.integers(1, 14))
pairs = shapes.flatmap(lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape)))


@pytest.fixture(autouse=True, params=[128, 0], ids=["sorted", "by minimum and maximum"])
def few_rows(request, monkeypatch):
    """Few rows, as here, are sorted; so everything is done once more as it is for many."""
    monkeypatch.setattr("maskkit.masks.spans._NETWORK_LEAST_ROWS", request.param)


def dense(spans: Spans) -> np.ndarray:
    """The set as booleans (rows, keys), key by key."""
    return spans.contains(np.arange(spans.limit)[:, None]).T


def assert_canonical(spans: Spans) -> None:
    """Sorted, disjoint, non-adjacent; empty intervals last, at the limit."""
    before = np.full(spans.shape, -1)
    for lo, hi in spans:
        empty = lo == hi
        assert ((lo < hi) | empty).all()
        assert (empty <= (lo == spans.limit)).all()
        assert ((lo > before) | empty).all()
        before = hi


@given(pairs)
def test_the_algebra_is_that_of_sets(pair):
    a, b = pair
    left, right = Spans.from_bool(a), Spans.from_bool(b)
    for spans, expected in (
        (left & right, a & b),
        (left | right, a | b),
        (left ^ right, a ^ b),
        (~left, ~a),
        (~(~left | right), a & ~b),
    ):
        np.testing.assert_array_equal(dense(spans), expected)
        assert_canonical(spans)
        assert spans == Spans.from_bool(expected)


@given(shapes.flatmap(lambda shape: arrays(bool, shape)), st.data())
def test_strides_equal_slices_of_the_keys(allowed, data):
    keys = allowed.shape[1]
    step = data.draw(st.sampled_from([-3, -2, -1, 1, 2, 3]))
    start = data.draw(st.integers(0, keys - 1))
    expected = allowed[:, start::step]
    seen = Spans.from_bool(allowed).stride(start, step, expected.shape[1])
    np.testing.assert_array_equal(dense(seen), expected)
    assert_canonical(seen)


@given(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9)).flatmap(lambda shape: arrays(bool, shape)))
def test_to_booleans_and_back(allowed):
    np.testing.assert_array_equal(Spans.from_bool(allowed).to_bool(), allowed)


@given(shapes.flatmap(lambda shape: arrays(bool, shape)), st.integers(0, 20))
def test_another_number_of_keys_cuts_or_adds_some(allowed, limit):
    wide = np.pad(allowed, ((0, 0), (0, 20)))[:, :limit]
    spans = Spans.from_bool(allowed).within(limit)
    np.testing.assert_array_equal(dense(spans), wide)
    assert spans == Spans.from_bool(wide)
    assert_canonical(spans)


@given(st.lists(st.tuples(st.integers(-9, 20), st.integers(-9, 20)), min_size=1, max_size=5), st.integers(1, 12))
def test_intervals_outside_the_keys_are_cut(ends, limit):
    """Any union of intervals, also overlapping, empty or outside, is the set that it says."""
    spans = Spans.union(Spans.interval(np.array([lo]), hi) for lo, hi in ends).within(limit)
    expected = np.zeros((1, limit), bool)
    for lo, hi in ends:
        expected[0, max(lo, 0) : max(hi, 0)] = True
    np.testing.assert_array_equal(dense(spans), expected)
    assert_canonical(spans)


def test_many_intervals_take_the_sorting_path():
    """More columns than the network handles: every other key of 64, and its complement."""
    allowed = np.arange(64)[None, :] % 2 == np.arange(5)[:, None] % 2
    spans = Spans.from_bool(allowed)
    assert len(spans) == 32
    np.testing.assert_array_equal(dense(~spans | (spans & ~spans)), ~allowed)


def test_chunks_equal_the_whole():
    """Operations on many rows work chunk by chunk; the seams do not show."""
    q = np.arange(200_000)
    window = Spans.interval(q - 5, q + 1).within(len(q))
    sink = Spans.interval(0, 4).within(len(q), q.shape)
    both = window | sink
    for row in (0, 3, 4, 9, 10, 65_535, 65_536, 131_071, 199_999):
        expected = sorted({*range(4), *range(max(0, row - 5), row + 1)})
        assert [k for lo, hi in both.row(row) for k in range(lo, hi)] == expected
    assert both.row(9) == [(0, 10)]
    assert both.row(10) == [(0, 4), (5, 11)]


@given(shapes.flatmap(lambda shape: arrays(bool, shape)))
def test_the_transpose_is_that_of_the_booleans(allowed):
    seen_by = Spans.from_bool(allowed).transpose()
    assert seen_by == Spans.from_bool(np.ascontiguousarray(allowed.T))


def test_shift_moves_and_loses_what_leaves():
    spans = Spans.from_bool(np.array([[1, 1, 0, 1]], bool)).shift(2).within(4)
    assert spans.row(0) == [(2, 4)]


@given(pairs, st.integers(-9, 9))
def test_what_was_shifted_combines_like_any_set(pair, keys):
    a, b = map(Spans.from_bool, pair)
    limit = a.limit
    moved = np.zeros_like(pair[0])
    if abs(keys) < limit:
        moved[:, max(keys, 0) : limit + min(keys, 0)] = pair[0][:, max(-keys, 0) : limit - max(keys, 0)]
    assert (a.shift(keys) | b).within(limit) == Spans.from_bool(moved | pair[1])
    assert (a.shift(keys) & b).within(limit) == Spans.from_bool(moved & pair[1])


def test_counts_and_rows():
    spans = Spans.from_bool(np.array([[1, 0, 1, 1], [0, 0, 0, 0]], bool))
    assert spans.counts().tolist() == [3, 0]
    assert [spans.row(0), spans.row(1)] == [[(0, 1), (2, 4)], []]


def test_spans_do_not_combine_with_other_things():
    with pytest.raises(TypeError):
        Spans.interval(0, 1) | 3
