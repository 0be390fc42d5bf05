"""Spans are sets of keys: every operation equals the one on booleans, and the result is canonical."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from maskkit import Spans
from maskkit.masks.dense import paint

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


@pytest.mark.parametrize("step", [0, 1, 2])
def test_equal_intervals_side_by_side_are_painted_as_many(step):
    """Over more rows than are painted at once, and between intervals that are none of them."""
    rows, limit = np.arange(3000), 9000
    parts = [Spans.interval(rows * step + 7 * i, rows * step + 7 * i + 3) for i in (0, 1, 2, 5)]
    spans = Spans.union([*parts, Spans.interval(rows * 0 + 8000, rows + 8001)]).within(limit)
    out = np.zeros((3000, limit), np.bool_)
    paint(out, spans, True)
    assert np.array_equal(out, spans.contains(np.arange(limit)[:, None]).T)


@given(shapes.flatmap(lambda shape: arrays(bool, shape)), st.booleans(), st.booleans())
def test_any_sets_or_their_complements_are_painted_and_nothing_else(allowed, complement, cleared):
    """Into zeros, and into memory that holds something else."""
    out = np.full(allowed.shape, 0.0 if cleared else 7.0)
    paint(out, Spans.from_bool(allowed), 2.0, complement, cleared)
    np.testing.assert_array_equal(out, np.where(allowed != complement, 2.0, 0.0))


@pytest.fixture(params=[(64, 2**21, 2**18), (2, 1, 1)], ids=["usual tiles", "tiles of two rows, every gap left out"])
def tiles(request, monkeypatch):
    for name, value in zip(("_TILE", "_TILE_BYTES", "_GAP_BYTES"), request.param, strict=True):
        monkeypatch.setattr(f"maskkit.masks.dense.{name}", value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(*[st.integers(0, 9)] * 2, *[st.integers(-2, 3)] * 2), min_size=1, max_size=5),
    st.integers(1, 9),
    st.integers(0, 4),
    st.booleans(),
    st.booleans(),
)
def test_intervals_that_turn_are_painted_where_they_are(tiles, bands, rows, distance, complement, cleared):
    """Bands of rows whose intervals move by steps of their own, and a second one some keys further right."""
    i = np.arange(rows)
    lo = np.concatenate([lo + i * step for lo, _, step, _ in bands])
    hi = np.concatenate([lo + size + i * (step + growth) for lo, size, step, growth in bands])
    spans = Spans.union([Spans.interval(lo, hi), Spans.interval(hi + distance, hi + distance + hi - lo)]).within(30)
    out = np.full((len(lo), 30), not cleared)
    paint(out, spans, True, complement, cleared)
    np.testing.assert_array_equal(out, dense(spans) != complement)


@pytest.mark.parametrize("cleared", [True, False])
@pytest.mark.parametrize("complement", [True, False])
@pytest.mark.parametrize("gap", [3, 5000])
def test_rows_that_are_one_row_moved(gap, complement, cleared):
    """Whether a gap in it is smaller than a page or not."""
    place = np.random.default_rng(0).permutation(300)
    spans = Spans.union([Spans.interval(place + i, place + i + 2) for i in (0, 2 + gap, 9 + gap)]).within(6000)
    out = np.full((300, 6000), not cleared)
    paint(out, spans, True, complement, cleared)
    np.testing.assert_array_equal(out, complement != spans.contains(np.arange(6000)[:, None]).T)


@pytest.mark.parametrize("cleared", [True, False])
@pytest.mark.parametrize("complement", [True, False])
@pytest.mark.parametrize(("unit", "dtype"), [(1, bool), (4, bool), (3, np.float16), (4, np.int32)])
def test_rows_that_are_mostly_the_one_before(unit, dtype, complement, cleared):
    """Bands of 1 to 90 rows, in blocks of so many keys; every band is written in pieces of several rows."""
    random = np.random.default_rng(unit)
    allowed = np.repeat(random.random((9, 20)) < 0.3, [40, 1, 90, 33, 64, 17, 2, 80, 50], axis=0).repeat(unit, axis=1)
    out = np.full(allowed.shape, 0 if cleared else 1, dtype)
    paint(out, Spans.from_bool(allowed), out.dtype.type(1), complement, cleared)
    np.testing.assert_array_equal(out, allowed != complement)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (2, 0, 4)])
def test_arrays_without_cells_are_painted_too(shape):
    paint(np.zeros(shape, np.bool_), Spans.nothing(shape[:-1], shape[-1]), True)
