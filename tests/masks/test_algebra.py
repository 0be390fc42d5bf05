"""Masks made of masks: the laws, the simplifications, the shapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
import maskkit
from maskkit.testing import check_mask

shapes = st.tuples(st.integers(1, 5), st.integers(1, 7))


def as_masks(*values):
    return [maskkit.from_array(value, true="allowed") for value in values]


@given(shapes.flatmap(lambda s: st.tuples(arrays(bool, s), arrays(bool, s), arrays(bool, s))))
def test_boolean_algebra(values):
    """De Morgan, distribution, double negation, exclusive or: as sets."""
    a, b, c = as_masks(*values)
    for left, right in (
        (~(a & b), ~a | ~b),
        (~(a | b), ~a & ~b),
        (a & (b | c), (a & b) | (a & c)),
        (a ^ b, (a | b) & ~(a & b)),
        (~~a, a),
    ):
        np.testing.assert_array_equal(left, right)


@pytest.fixture
def causal():
    return maskkit.create("causal", seq_len=8)


@pytest.fixture
def band():
    return maskkit.create("banded", seq_len=8, band_width=3)


def test_simplifies_what_is_the_same_by_form(causal, band):
    assert ~~causal is causal
    assert causal & causal is causal
    assert causal | causal is causal
    both = causal & band
    assert both & causal == both
    assert (causal & band) & ~band == causal & (band & ~band)
    assert causal ^ causal != causal
    assert (causal ^ causal).stats().allowed == 0


def test_prints_as_it_is_written(causal, band):
    mask = causal & ~(band | causal[::-1, :])
    assert repr(mask) == ("Causal(seq_len=8) & ~(Banded(seq_len=8, band_width=3) | Causal(seq_len=8)[7::-1, :])")
    assert repr(causal[-1:, ::2]) == "Causal(seq_len=8)[7:8, 0:8:2]"


def test_composed_masks_keep_the_contract(causal, band):
    noise = maskkit.create("random", seq_len=8, mask_probability=0.5, seed=3)
    for mask in (
        causal & ~band,
        causal ^ band,
        noise & causal,
        noise | ~causal,
        (noise & band)[2:, ::-1],
        ~noise ^ band,
    ):
        check_mask(mask)


def test_batched_and_unbatched_masks_meet(causal):
    padding = maskkit.create("padding", padding_mask=[[False] * 8, [False] * 5 + [True] * 3])
    mask = causal & padding
    assert mask.shape == (2, 8, 8)
    np.testing.assert_array_equal(mask, np.asarray(causal) & np.asarray(padding))
    assert mask[1].shape == (8, 8)
    np.testing.assert_array_equal(mask[1], np.asarray(mask)[1])
    one_for_all = padding[:1]
    np.testing.assert_array_equal(one_for_all | padding, np.asarray(one_for_all) | np.asarray(padding))
    check_mask(mask)
    check_mask(mask[1, 2:, :])


def test_shapes_that_do_not_meet_are_refused(causal):
    other = maskkit.create("causal", seq_len=9)
    with pytest.raises(
        maskkit.ConfigError, match=r"9 along the axis 'query', where others have 8.*mask\[:rows, :keys\]"
    ):
        causal & other
    pixels = maskkit.from_array(np.ones((8, 8), bool), true="allowed", axes=("height", "width"))
    with pytest.raises(maskkit.ConfigError, match=r"under 'or': ArrayMask.* has the axis 'height', and others are"):
        causal | pixels


def test_an_axis_that_is_missing_serves_all(causal):
    """A mask of queries lets each see all keys or none."""
    row = maskkit.from_array(np.arange(8) % 3 > 0, true="allowed")
    mask = causal & row
    np.testing.assert_array_equal(mask, np.asarray(causal) & np.asarray(row)[:, None])
    check_mask(mask)


def test_tokens_are_not_taken_for_keys(causal):
    with pytest.raises(maskkit.ConfigError, match=r"has the axis 'token', .*; mask.keys\(\) makes a mask of keys"):
        causal & maskkit.PaddingMask(lengths=[3, 8], seq_len=8)


def test_everything_saves_and_loads(causal, band):
    padding = maskkit.create("padding", padding_mask=[[False] * 8, [False] * 5 + [True] * 3])
    array = maskkit.from_array(np.eye(8, dtype=bool), true="blocked")
    typed = causal.astype("float32")
    for mask in (causal, causal & ~band, causal[::-1, 2:], padding[1], (causal ^ array) | padding, array, typed):
        saved = maskkit.to_dict(mask)
        assert maskkit.from_dict(saved) == mask
    assert maskkit.to_dict(causal & ~band) == {
        "and": [{"type": "causal", "seq_len": 8}, {"not": {"type": "banded", "seq_len": 8, "band_width": 3}}]
    }
    whole = {"type": "causal", "seq_len": 8}
    assert maskkit.to_dict(causal[::-1, 2:]) == {"view": whole, "slices": [[7, -1, 8], [2, 1, 6]]}
    assert maskkit.to_dict(typed) == {"astype": whole, "dtype": "float32"}
