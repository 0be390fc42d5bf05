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


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, jnp.array, lambda x: np.array(x) == 1])
def test_valid_says_it_the_other_way_round(kind):
    """As a tokenizer does: 1 is real."""
    mask = Padding(valid=kind((1 - PADDING).tolist()))
    np.testing.assert_array_equal(mask, Padding(padding_mask=PADDING))
    np.testing.assert_array_equal(mask.allowed("torch"), Padding(padding_mask=PADDING))


@pytest.mark.parametrize("bad", [[False, True], [[0, 1]], [[[True]]], "padding", 3])
def test_refuses_what_is_no_boolean_matrix(bad):
    with pytest.raises(maskkit.ConfigError, match="padding_mask must be a boolean array with 2 axes"):
        Padding(padding_mask=bad)


def test_integers_may_mean_either_so_the_way_out_is_said():
    expected = "got an array .*int64; where 1 is real, .*, write valid=; where 1 is padding, padding_mask == 1$"
    with pytest.raises(maskkit.ConfigError, match=expected):
        Padding(padding_mask=np.array([[1, 1, 0]]))


def test_numbers_that_are_no_flags_are_refused():
    expected = r"^valid must be booleans, or integers 0 and 1, .*: 5 for token 0 of sample 1; of token ids write"
    with pytest.raises(maskkit.ConfigError, match=expected):
        Padding(valid=[[1, 0], [5, 1]])


@pytest.mark.parametrize(("given", "params"), [("neither", {}), ("both", dict(padding_mask=[[True]], valid=[[0]]))])
def test_takes_one_of_the_two(given, params):
    with pytest.raises(maskkit.ConfigError, match=f"^padding takes either padding_mask or valid, got {given}; "):
        Padding(**params)
