"""Banded: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_banded import Banded
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(Banded)


@pytest.mark.parametrize("band_width", [1, 2, 3, 4, 5, 50])
def test_the_distance_is_at_most_half_the_width(band_width):
    """An even width counts as the odd one above it, for |q - k| <= width // 2."""
    expected = [[abs(q - k) <= band_width // 2 for k in range(7)] for q in range(7)]
    np.testing.assert_array_equal(Banded(seq_len=7, band_width=band_width), expected)


def test_is_symmetric():
    mask = Banded(seq_len=9, band_width=5).allowed()
    np.testing.assert_array_equal(mask, mask.T)
