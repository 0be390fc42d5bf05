"""Masks row by row: where intervals are asked for, and where the predicate alone."""

import numpy as np
import pytest
import maskkit
from maskkit.masks.rows import reach_of, spans_of

SIZE = 1024
ROWS = np.arange(SIZE)


@pytest.fixture
def scattered():
    """Every third token is padding: more intervals in a row, and in all rows, than the limits."""
    mask = maskkit.create("padding", padding_mask=ROWS[None] % 3 == 0)
    assert mask.intervals > maskkit.limits.intervals
    assert mask.intervals * SIZE > maskkit.limits.few_intervals
    return mask


@pytest.fixture
def band():
    return maskkit.create("banded", seq_len=SIZE, band_width=9)


@pytest.mark.parametrize("see", [lambda m, band: m, lambda m, band: m | band, lambda m, band: m[:, 1:, ::-1]])
def test_rows_of_many_intervals_are_not_looked_for(see, scattered, band, monkeypatch):
    """Not a few rows at a time either: the predicate alone is quicker."""
    monkeypatch.setattr(
        type(scattered), "spans", lambda self, *rows: pytest.fail(f"asked for {np.size(rows[-1])} rows")
    )
    mask = see(scattered, band)
    np.testing.assert_array_equal(mask.allowed(), mask.allows(*np.ogrid[tuple(map(slice, mask.shape))]))


def test_what_bounds_rows_of_many_intervals_bounds_them_still(scattered, band):
    """Of both together the band is known, and nothing beyond it is looked at."""
    both = scattered & band
    assert spans_of(both, (0,), ROWS) is None
    found = reach_of(both, (0,), ROWS)
    assert [found.row(q) for q in (0, 500, SIZE - 1)] == [[(0, 5)], [(496, 505)], [(SIZE - 5, SIZE)]]
    np.testing.assert_array_equal(both.allowed()[0], band.allowed() & scattered.allowed()[0])


def test_a_few_rows_of_many_intervals_have_spans(scattered):
    """A decoder's one row keeps what makes it quick."""
    one = spans_of(scattered[:, 500:501, :], (0,), np.arange(1))
    assert one.row(0) == [(start, min(start + 2, SIZE)) for start in range(1, SIZE, 3)]
