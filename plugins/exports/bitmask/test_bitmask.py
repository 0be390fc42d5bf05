"""Bits are the mask's, position by position."""

import numpy as np
import pytest
import maskkit
from maskkit.testing import check_exporter
from maskkit_bitmask import Bitmask


def test_contract():
    check_exporter(Bitmask(), meaning=lambda form, mask: Bitmask().read(form, mask.shape[-1], mask.axes).allowed())


@pytest.mark.parametrize("order", ["little", "big"])
def test_every_bit_is_its_position(order):
    mask = maskkit.parse("causal & ~banded(band_width=3)", seq_len=11)
    bits = mask.export("bitmask", order=order)
    for (row, key), allowed in np.ndenumerate(mask.allowed()):
        place = key % 8 if order == "little" else 7 - key % 8
        assert bool(bits[row, key // 8] >> place & 1) == allowed
    np.testing.assert_array_equal(maskkit.from_form("bitmask", bits, length=11, order=order).allowed(), mask.allowed())


def test_a_mask_of_pixels_packs_its_columns():
    mask = maskkit.create("mask.spatial", height=4, width=9)
    assert mask.export("bitmask").shape == (*mask.shape[:-1], 2)


def test_other_bytes_are_refused():
    with pytest.raises(maskkit.ConfigError, match="bits of 20 positions must be uint8, 3 along the last axis"):
        maskkit.from_form("bitmask", np.zeros((4, 2), np.uint8), length=20)
    with pytest.raises(maskkit.ConfigError, match="order must be 'little' or 'big', got 'middle'"):
        maskkit.create("causal", seq_len=4).export("bitmask", order="middle")
