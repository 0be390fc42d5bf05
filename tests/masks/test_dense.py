"""Arrays from spans: what is allowed is written, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from maskkit import Spans
from maskkit.masks.dense import paint

shapes = st.tuples(st.integers(1, 6), st.integers(1, 14))


def painted(spans: Spans, dtype=bool, value=True) -> np.ndarray:
    out = np.zeros((*spans.shape, spans.limit), dtype)
    paint(out, spans, value)
    return out


def expected(spans: Spans) -> np.ndarray:
    """The set as booleans (rows, keys), key by key."""
    return spans.contains(np.arange(spans.limit)[:, None]).T


@pytest.mark.parametrize("step", [0, 1, 2])
def test_equal_intervals_side_by_side(step):
    """Over many rows, and beside an interval that is none of them."""
    rows, limit = np.arange(3000), 9000
    parts = [Spans.interval(rows * step + 7 * i, rows * step + 7 * i + 3) for i in (0, 1, 2, 5)]
    spans = Spans.union([*parts, Spans.interval(rows * 0 + 8000, rows + 8001)]).within(limit)
    np.testing.assert_array_equal(painted(spans), expected(spans))


@given(shapes.flatmap(lambda shape: arrays(bool, shape)))
def test_any_sets_are_painted_and_nothing_else(allowed):
    """Over what is there, which stays where nothing is allowed."""
    out = np.full(allowed.shape, 7.0)
    paint(out, Spans.from_bool(allowed), 2.0)
    np.testing.assert_array_equal(out, np.where(allowed, 2.0, 7.0))


@given(
    st.lists(st.tuples(*[st.integers(0, 9)] * 2, *[st.integers(-2, 3)] * 2), min_size=1, max_size=5),
    st.integers(1, 9),
    st.integers(0, 4),
)
def test_intervals_that_turn_are_painted_where_they_are(bands, rows, distance):
    """Bands of rows whose intervals move by steps of their own, and a second one some keys further right."""
    i = np.arange(rows)
    lo = np.concatenate([lo + i * step for lo, _, step, _ in bands])
    hi = np.concatenate([lo + size + i * (step + growth) for lo, size, step, growth in bands])
    spans = Spans.union([Spans.interval(lo, hi), Spans.interval(hi + distance, hi + distance + hi - lo)]).within(30)
    np.testing.assert_array_equal(painted(spans), expected(spans))


@pytest.mark.parametrize("gap", [3, 5000])
def test_rows_that_are_one_row_moved(gap):
    place = np.random.default_rng(0).permutation(300)
    spans = Spans.union([Spans.interval(place + i, place + i + 2) for i in (0, 2 + gap, 9 + gap)]).within(6000)
    np.testing.assert_array_equal(painted(spans), expected(spans))


@pytest.mark.parametrize(("unit", "dtype"), [(1, bool), (4, bool), (3, np.float16), (4, np.int32)])
def test_rows_that_are_mostly_the_one_before(unit, dtype):
    """Bands of 1 to 90 rows, in blocks of so many keys."""
    random = np.random.default_rng(unit)
    allowed = np.repeat(random.random((9, 20)) < 0.3, [40, 1, 90, 33, 64, 17, 2, 80, 50], axis=0).repeat(unit, axis=1)
    np.testing.assert_array_equal(painted(Spans.from_bool(allowed), dtype, 1), allowed)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (2, 0, 4)])
def test_arrays_without_cells_are_painted_too(shape):
    paint(np.zeros(shape, np.bool_), Spans.nothing(shape[:-1], shape[-1]), True)
