"""Neighborhood: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_neighborhood import Neighborhood
import maskkit
from maskkit import limits
from maskkit.testing import check_plugin


def nearest(position, size, count):
    """The positions of an axis that are nearest to this one."""
    return sorted(range(size), key=lambda other: abs(other - position))[:count]


def nearest_squares(height, width, kernel_size):
    """For every token a picture of the grid: its nearest rows and columns painted."""
    seen = np.zeros((height, width, height, width), bool)
    for row, column in np.ndindex(height, width):
        rows, columns = nearest(row, height, kernel_size), nearest(column, width, kernel_size)
        seen[(row, column, *np.ix_(rows, columns))] = True
    return seen.reshape(height * width, height * width)


SHAPES = [(1, 1, 1), (3, 3, 3), (4, 6, 1), (4, 6, 3), (8, 5, 5), (5, 9, 5), (7, 7, 7)]


def test_contract():
    check_plugin(Neighborhood)


@pytest.mark.parametrize(("height", "width", "kernel_size"), SHAPES)
def test_is_the_nearest_square(height, width, kernel_size):
    mask = Neighborhood(height=height, width=width, kernel_size=kernel_size)
    np.testing.assert_array_equal(mask.allowed(), nearest_squares(height, width, kernel_size))


@pytest.mark.parametrize(("height", "width", "kernel_size"), SHAPES)
def test_the_square_is_whole_everywhere(height, width, kernel_size):
    """The edge rule: every token, also in a corner, sees kernel_size**2 tokens, itself included."""
    allowed = Neighborhood(height=height, width=width, kernel_size=kernel_size).allowed()
    assert set(allowed.sum(axis=1).tolist()) == {kernel_size**2}
    assert allowed.diagonal().all()


def test_a_corner_sees_the_corner_square():
    """By hand: 4 x 5 tokens, kernel 3; the top left token, and the one in the bottom right."""
    allowed = Neighborhood(height=4, width=5, kernel_size=3).allowed()
    assert np.flatnonzero(allowed[0]).tolist() == [0, 1, 2, 5, 6, 7, 10, 11, 12]
    assert np.flatnonzero(allowed[19]).tolist() == [7, 8, 9, 12, 13, 14, 17, 18, 19]


def test_a_kernel_over_the_whole_grid_is_full_attention():
    assert Neighborhood(height=5, width=5, kernel_size=5).allowed().all()


@pytest.mark.parametrize(("height", "width"), [(4, 9), (9, 4)])
def test_a_kernel_larger_than_the_grid_is_refused(height, width):
    with pytest.raises(
        maskkit.ConfigError, match=rf"kernel_size must be at most height={height} and width={width}, got 5"
    ):
        Neighborhood(height=height, width=width, kernel_size=5)


def test_an_even_kernel_is_refused():
    with pytest.raises(maskkit.ConfigError, match="kernel_size must be odd and positive, got 4"):
        Neighborhood(height=8, width=8, kernel_size=4)


def test_spans_and_predicate_agree_about_large_kernels(monkeypatch):
    """A kernel over `maskkit.limits.intervals` has no spans; with a higher limit it has, and is the same."""
    monkeypatch.setattr(limits, "few_intervals", 0)
    mask = Neighborhood(height=6, width=7, kernel_size=5)
    dense = mask.allowed()
    assert mask.stats().intervals == 5
    monkeypatch.setattr(limits, "intervals", 4)
    assert mask.stats().intervals is None
    np.testing.assert_array_equal(mask.allowed(), dense)


def test_a_large_grid_counts_without_a_dense_array():
    """65,536 tokens, 49 keys each."""
    assert Neighborhood(height=256, width=256, kernel_size=7).stats().allowed == 65_536 * 49
