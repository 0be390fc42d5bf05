"""FlashMask's indices block what the mask blocks, and give it back."""

import numpy as np
import pytest
import maskkit
from maskkit.testing import check_exporter
from maskkit_flashmask import Flashmask


def test_contract():
    check_exporter(Flashmask(), meaning=lambda form, mask: Flashmask().read(form, mask.shape[-2]).allowed())


def meaning(table, causal, rows):
    """What the indices of a plane allow, from the words of the form."""
    row, allowed = np.arange(rows), np.ones((rows, len(table)), bool)
    for key, entry in enumerate(table.tolist()):
        if causal:
            allowed[row < key, key] = False
            allowed[(row >= entry[0]) & (row < (entry[1] if len(entry) == 2 else rows)), key] = False
        elif len(entry) == 2:
            allowed[(row >= entry[0]) | (row < entry[1]), key] = False
        else:
            a, b, c, d = entry
            allowed[((row >= a) & (row < b)) | ((row >= c) & (row < d)), key] = False
    return allowed


@pytest.mark.parametrize(
    ("expression", "causal", "columns"),
    [
        ("causal", True, 1),
        ("causal & document(lengths=[3, 9, 8])", True, 1),
        ("sink(window_size=4)", True, 1),
        ("block_diagonal(block_size=7)", False, 2),
        ("banded(band_width=5)", False, 2),
        ("prefix_lm(prefix_len=6)", False, 2),
        ("~banded(band_width=5)", False, 4),
    ],
)
def test_the_fewest_columns_that_hold_it(expression, causal, columns):
    mask = maskkit.parse(expression, seq_len=20)
    form = mask.export("flashmask")
    table = form["startend_row_indices"]
    assert table.dtype == np.int32
    if columns != 4:
        assert (form["causal"], table.shape) == (causal, (1, 1, 20, columns))
    np.testing.assert_array_equal(meaning(table[0, 0], form["causal"], 20), mask.allowed())
    np.testing.assert_array_equal(maskkit.from_form("flashmask", form, q_len=20).allowed(), mask.allowed())


def test_a_run_of_rows_below_the_diagonal_takes_two_columns():
    allowed = np.tri(12, dtype=bool)
    allowed[6:9, 2] = False
    form = maskkit.from_array(allowed, true="allowed").export("flashmask")
    assert form["causal"]
    assert form["startend_row_indices"].shape[-1] == 2
    np.testing.assert_array_equal(meaning(form["startend_row_indices"][0, 0], True, 12), allowed)


def test_a_batch_has_indices_for_each_sample():
    mask = maskkit.create("key_padding", lengths=[4, 0, 9], seq_len=9) & maskkit.create("causal", seq_len=9)
    form = mask.export("flashmask")
    for table, expected in zip(form["startend_row_indices"][:, 0], mask.allowed(), strict=True):
        np.testing.assert_array_equal(meaning(table, form["causal"], 9), expected)


def test_what_it_does_not_hold_names_the_key():
    with pytest.raises(maskkit.ConfigError, match=r"is no FlashMask: key \d+ is blocked in more than two runs of rows"):
        maskkit.create("dilated", seq_len=20, window_size=3, dilation=3).export("flashmask")
