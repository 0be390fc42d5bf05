"""Cheap forms: a causal flag, a window and packed documents, of masks that are not square or are a batch."""

import numpy as np
import pytest
import maskkit
from maskkit.masks.exports.fits import NoFit


def window(left, right, queries, keys):
    """FlashAttention's `window_size`, by its documentation: the last query stands at the last key."""
    place = np.arange(queries)[:, None] + keys - queries
    key = np.arange(keys)
    return ((key >= place - left) | (left < 0)) & ((key <= place + right) | (right < 0))


@pytest.mark.parametrize(("left", "right"), [(-1, 0), (2, 0), (1, 2), (0, -1), (3, 3), (-1, -1), (0, 0)])
@pytest.mark.parametrize(("rows", "keys"), [(slice(-1, None), slice(None)), (slice(4, None), slice(1, None))])
def test_windows_of_the_last_queries_are_aligned_to_the_bottom_right(left, right, rows, keys):
    """What is found means the same mask again, whichever of the pairs that mean it."""
    mask = maskkit.create("mask.window", seq_len=9, left=left, right=right)[rows, keys]
    found = mask.fits()["window"]
    np.testing.assert_array_equal(mask, window(*found, *mask.shape))


def test_queries_before_the_first_key_see_nothing_in_a_window_too():
    mask = maskkit.create("causal", seq_len=7)[:, 3:]
    assert mask.fits()["window"] == (-1, 0)
    np.testing.assert_array_equal(mask, window(-1, 0, 7, 4))


def test_a_causal_mask_aligned_to_the_top_left_is_no_window():
    mask = maskkit.create("causal", seq_len=7)[:4, :]
    assert isinstance(mask.fits()["window"], NoFit)
    assert "with the last query at the last key" in mask.fits()["window"].why


@pytest.mark.parametrize(
    "expression", ["sliding_window(window_size=3) & ~banded(band_width=3)", "~sliding_window(window_size=2) & causal"]
)
def test_a_window_without_the_query_itself_is_none(expression):
    """A negative reach would read as -1, all."""
    found = maskkit.parse(expression, seq_len=8).fits()["window"]
    assert isinstance(found, NoFit)


def test_a_batch_of_equal_windows_is_a_window():
    causal = maskkit.create("causal", seq_len=6)
    full = maskkit.create("key_padding", lengths=[6, 6], seq_len=6)
    assert (causal & full).fits()["window"] == (-1, 0)
    assert (causal & full).fits()["is_causal"] is True
    short = maskkit.create("key_padding", lengths=[6, 3], seq_len=6)
    for form in ("window", "is_causal"):
        assert "row 3 of sample 1 sees keys 0 .. 2, not 0 .. 3" in (causal & short).fits()[form].why


def test_a_causal_flag_is_for_as_many_queries_as_keys():
    """Torch aligns it to the top left, FlashAttention to the bottom right."""
    causal = maskkit.create("causal", seq_len=6)
    for cut in (causal[-1:, :], causal[:4, :], causal[:, 2:]):
        found = cut.fits()["is_causal"]
        assert isinstance(found, NoFit)
        assert "must be square" in found.why


def test_varlen_is_what_the_export_gives():
    documents = maskkit.create("document", ids=[[0, 0, 1], [2, 2, 2]])
    for mask in (documents, documents & maskkit.create("causal", seq_len=3)):
        found, exported = mask.fits()["varlen"], mask.export("varlen")
        assert {name: np.asarray(value).tolist() for name, value in found.items()} == {
            name: np.asarray(value).tolist() for name, value in exported.items()
        }
    found = maskkit.create("strided", seq_len=9, stride=3).fits()["varlen"]
    assert isinstance(found, NoFit)
    assert "row 6 sees 2 intervals of keys" in found.why


def test_no_row_that_sees_anything_is_no_window():
    mask = maskkit.create("causal", seq_len=6)[:2, 4:]
    assert "no row sees anything" in mask.fits()["window"].why
