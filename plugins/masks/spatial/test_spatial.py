"""Spatial: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_spatial import Spatial
import maskkit
from maskkit.testing import check_plugin

REGIONS = np.array([[1, 1, 0], [0, 1, 0]], bool)


def test_contract():
    check_plugin(Spatial)


def test_blocks_what_lies_inside_the_regions_by_default():
    np.testing.assert_array_equal(Spatial(height=2, width=3, attention_regions=REGIONS).blocked(), REGIONS)


def test_outside_blocks_all_but_the_regions():
    mask = Spatial(height=2, width=3, attention_regions=REGIONS, mask_mode="outside")
    np.testing.assert_array_equal(mask.allowed(), REGIONS)


@pytest.mark.parametrize("mask_mode", ["inside", "outside"])
def test_without_regions_nothing_is_blocked(mask_mode):
    mask = Spatial(height=2, width=3, mask_mode=mask_mode)
    np.testing.assert_array_equal(mask.allowed(), np.ones((2, 3), bool))


def test_refuses_regions_of_another_shape():
    expected = r"^attention_regions must have shape \(height, width\) = \(3, 2\), got \(2, 3\)$"
    with pytest.raises(maskkit.ConfigError, match=expected):
        Spatial(height=3, width=2, attention_regions=REGIONS)


@pytest.mark.parametrize("bad", [REGIONS.astype(int), REGIONS[0], "everywhere"])
def test_refuses_what_is_no_boolean_picture(bad):
    with pytest.raises(
        maskkit.ConfigError, match=r"^attention_regions must be a boolean array with 2 axes, or None, got"
    ):
        Spatial(height=2, width=3, attention_regions=bad)


def test_refuses_an_unknown_mode():
    expected = r"^mask_mode must be one of 'inside', 'outside', got 'insde'; did you mean 'inside'?"
    with pytest.raises(maskkit.ConfigError, match=expected):
        Spatial(height=2, width=3, mask_mode="insde")
