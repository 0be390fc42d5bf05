"""Padding: the contract, and the facts."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from maskkit_mask_padding import Padding
import maskkit
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(Padding)


PADDING = np.array([[0, 0, 0, 1, 1], [1, 0, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)


def test_blocks_a_pair_when_either_side_is_padding():
    expected = [[[not (p[q] or p[k]) for k in range(5)] for q in range(5)] for p in PADDING]
    np.testing.assert_array_equal(Padding(padding_mask=PADDING), expected)


def test_padding_in_many_places_has_no_spans(monkeypatch):
    """More runs of real tokens in a sample than `maskkit.limits.intervals` give none."""
    monkeypatch.setattr(maskkit.limits, "few_intervals", 0)
    padding = np.random.default_rng(0).random((3, 200)) < [[0.5], [0.01], [0.5]]
    mask = Padding(padding_mask=padding)
    expected = ~(padding[:, :, None] | padding[:, None, :])
    assert mask.stats().intervals is None
    assert mask[1].stats().intervals is None
    without = mask.allowed(), mask.blocks(16).dense(), mask.to_flex(16).kv_indices
    monkeypatch.setattr(maskkit.limits, "intervals", 200)
    assert mask.stats().intervals > 32
    np.testing.assert_array_equal(without[0], expected)
    np.testing.assert_array_equal(mask.allowed(), expected)
    np.testing.assert_array_equal(mask.blocks(16).dense(), without[1])
    assert torch.equal(mask.to_flex(16).kv_indices, without[2])


def test_takes_lists_and_arrays_of_every_library():
    """They are the same mask; an array stays the caller's own."""
    mask = Padding(padding_mask=PADDING)
    for same in (PADDING.tolist(), torch.from_numpy(PADDING), jnp.asarray(PADDING)):
        assert Padding(padding_mask=same) == mask
        assert hash(Padding(padding_mask=same)) == hash(mask)
    tensor = torch.from_numpy(PADDING)
    assert Padding(padding_mask=tensor).padding_mask is tensor


@pytest.mark.parametrize("bad", [[False, True], [[0, 1]], [[[True]]], "padding", 3])
def test_refuses_what_is_no_boolean_matrix(bad):
    with pytest.raises(maskkit.ConfigError, match="padding_mask must be a boolean array with 2 axes"):
        Padding(padding_mask=bad)
