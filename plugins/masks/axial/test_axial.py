"""Axial: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_axial import Axial
from maskkit import limits
from maskkit.testing import check_plugin


def rows_and_columns(height, width):
    """For every token a picture of the grid: its row and its column painted."""
    seen = np.zeros((height, width, height, width), bool)
    for row, column in np.ndindex(height, width):
        seen[row, column, row, :] = True
        seen[row, column, :, column] = True
    return seen.reshape(height * width, height * width)


def test_contract():
    check_plugin(Axial)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6), (6, 1), (4, 4), (3, 7), (7, 3), (40, 3)])
def test_is_the_row_and_the_column(height, width):
    mask = Axial(height=height, width=width)
    assert mask.shape == (height * width, height * width)
    np.testing.assert_array_equal(mask.allowed(), rows_and_columns(height, width))


def test_two_steps_reach_the_whole_grid():
    """Along the row, then along the column: what axial attention is for."""
    once = Axial(height=4, width=6).allowed(dtype="int64")
    assert (once @ once > 0).all()


def test_spans_and_predicate_agree_about_high_grids(monkeypatch):
    """More rows than `maskkit.limits.intervals` give no spans; with a higher limit they do, and the same mask."""
    monkeypatch.setattr(limits, "few_intervals", 0)
    mask = Axial(height=40, width=3)
    dense = mask.allowed()
    assert mask.stats().intervals is None
    monkeypatch.setattr(limits, "intervals", 40)
    assert mask.stats().intervals == 40
    np.testing.assert_array_equal(mask.allowed(), dense)


def test_a_large_grid_counts_without_a_dense_array():
    """65,536 tokens, each of which sees height + width - 1."""
    assert Axial(height=32, width=2048).stats().allowed == 65_536 * (32 + 2048 - 1)
