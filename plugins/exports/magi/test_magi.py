"""Slices cover what is allowed, every pair once, and give it back."""

import numpy as np
import pytest
import maskkit
from maskkit.testing import check_exporter
from maskkit_magi import Magi


def test_contract():
    check_exporter(Magi(), meaning=lambda form, mask: Magi().read(form, *mask.shape[-2:]).allowed())


def times(form, queries, keys):
    """How often each pair is covered, from the words of the form."""
    found = np.zeros((queries, keys), int)
    for (q0, q1), (k0, k1), kind in zip(form["q_ranges"], form["k_ranges"], form["attn_type_map"], strict=True):
        row, key = np.arange(q1 - q0)[:, None], np.arange(k1 - k0)
        allowed = np.ones((q1 - q0, k1 - k0), bool)
        if kind in (1, 3):
            allowed &= key <= row + (k1 - k0) - (q1 - q0)
        if kind in (2, 3):
            allowed &= key >= row
        found[q0:q1, k0:k1] += allowed
    return found


@pytest.mark.parametrize(
    ("expression", "slices"),
    [
        ("causal", 1),
        ("~causal", 1),
        ("sliding_window(window_size=5)", 2),
        ("block_diagonal(block_size=7)", 3),
        ("block_causal(block_size=5)", 4),
        ("sink(window_size=4)", 3),
        ("dilated(window_size=3, dilation=2)", None),
        ("causal & ~causal", 0),
    ],
)
def test_slices_cover_what_is_allowed_once(expression, slices):
    mask = maskkit.parse(expression, seq_len=20)
    form = mask.export("magi")
    np.testing.assert_array_equal(times(form, 20, 20), mask.allowed())
    assert slices is None or len(form["attn_type_map"]) <= slices + 1
    np.testing.assert_array_equal(maskkit.from_form("magi", form, q_len=20, k_len=20).allowed(), mask.allowed())


def test_a_batch_is_refused_with_the_way_out():
    with pytest.raises(maskkit.ConfigError, match=r"has a batch, and slices are of one plane; export mask\[i\]"):
        maskkit.create("key_padding", lengths=[3, 4], seq_len=4).export("magi")


def test_slices_that_overlap_are_refused():
    form = {"q_ranges": [[0, 2], [1, 3]], "k_ranges": [[0, 2], [1, 3]], "attn_type_map": [0, 0]}
    with pytest.raises(maskkit.ConfigError, match="row 1 has key 1 twice"):
        maskkit.from_form("magi", form, q_len=3, k_len=3)


def test_slices_beyond_the_mask_are_refused():
    form = {"q_ranges": [[0, 9]], "k_ranges": [[0, 2]], "attn_type_map": [0]}
    with pytest.raises(maskkit.ConfigError, match="is not in 3 x 3"):
        maskkit.from_form("magi", form, q_len=3, k_len=3)
