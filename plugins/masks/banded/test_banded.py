"""Banded: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_banded import Banded
import maskkit
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(Banded)


@pytest.mark.parametrize("band_width", [1, 3, 5, 51])
def test_a_row_is_as_wide_as_the_band_with_the_query_in_the_middle(band_width):
    expected = np.zeros((7, 7), bool)
    for q in range(7):
        expected[q, max(0, q - band_width // 2) :][: band_width - max(0, band_width // 2 - q)] = True
    np.testing.assert_array_equal(Banded(seq_len=7, band_width=band_width), expected)


@pytest.mark.parametrize("band_width", [2, 4, 50])
def test_an_even_width_is_refused_with_both_neighbours(band_width):
    """No number of tokens lies equally on both sides; dropping one in silence was a fault."""
    expected = rf"^band_width must be odd and positive, got {band_width}; .*: {band_width - 1} or {band_width + 1}$"
    with pytest.raises(maskkit.ConfigError, match=expected):
        Banded(seq_len=7, band_width=band_width)


@pytest.mark.parametrize("band_width", [0, -1, -2])
def test_a_width_without_neighbours_names_none(band_width):
    with pytest.raises(maskkit.ConfigError, match=rf"^band_width must be odd and positive, got {band_width}$"):
        Banded(seq_len=7, band_width=band_width)


def test_is_symmetric():
    mask = Banded(seq_len=9, band_width=5).allowed()
    np.testing.assert_array_equal(mask, mask.T)
