"""Arrays from elsewhere enter by one door."""

import numpy as np
import pytest
import torch
import maskkit
from maskkit.testing import check_mask


def test_from_array_says_which_way_round():
    values = np.array([[True, False], [True, True]])
    np.testing.assert_array_equal(maskkit.from_array(values, true="allowed"), values)
    np.testing.assert_array_equal(maskkit.from_array(values, true="blocked"), ~values)
    np.testing.assert_array_equal(maskkit.from_array(values.tolist(), true="blocked"), ~values)
    with pytest.raises(TypeError):
        maskkit.from_array(values)
    with pytest.raises(maskkit.ConfigError, match="true must be one of 'allowed', 'blocked', got 'keep'"):
        maskkit.from_array(values, true="keep")
    with pytest.raises(maskkit.ConfigError, match=r"array must be a boolean array, got an array of shape .* float64"):
        maskkit.from_array(np.ones((2, 2)), true="allowed")


def test_from_array_takes_arrays_of_every_library():
    import jax.numpy as jnp
    import torch

    values = np.array([[True, False, True], [True, True, False]])
    for array in (torch.from_numpy(values), jnp.asarray(values)):
        mask = maskkit.from_array(array, true="blocked")
        assert mask.array is array
        np.testing.assert_array_equal(mask, ~values)
        assert mask == maskkit.from_array(
            type(array)(array) if isinstance(array, torch.Tensor) else array + False, true="blocked"
        )
        check_mask(mask)


def test_masked_arrays_are_refused():
    """Their mask would be lost without a word, here and in the fields of every mask."""
    hidden = np.ma.masked_array([[True]], [[True]])
    with pytest.raises(maskkit.ConfigError, match=r"give array\.filled"):
        maskkit.from_array(hidden, true="allowed")
    with pytest.raises(maskkit.ConfigError, match=r"give array\.filled"):
        maskkit.create("key_padding", lengths=np.ma.masked_array([3, 1], [False, True]), seq_len=4)


FOUR = ("batch", "head", "query", "key")


@pytest.mark.parametrize(
    ("shape", "axes", "known"),
    [
        ((5,), None, ("query",)),
        ((4, 6), None, ("query", "key")),
        ((4, 6), ("height", "width"), ("height", "width")),
        ((2, 4, 4), ("batch", "query", "key"), FOUR[:1] + FOUR[2:]),
        ((2, 4, 4), ["head", "query", "key"], FOUR[1:]),
        ((2, 3, 4, 5), None, FOUR),
        ((2, 3, 4, 5), ("batch", "query", "height", "width"), ("batch", "query", "height", "width")),
    ],
)
def test_the_axes_of_an_array_are_named_where_their_number_leaves_a_choice(shape, axes, known):
    values = np.random.default_rng(0).random(shape) < 0.5
    mask = maskkit.from_array(values, true="allowed", axes=axes)
    assert mask.axes == known
    assert isinstance(mask, maskkit.AttentionMask) == ("key" in known)
    check_mask(mask)


@pytest.mark.parametrize(
    ("shape", "axes", "words"),
    [
        ((2, 4, 4), None, "3 axes does not say what they are; give axes=('batch', 'query', 'key') or"),
        ((2, 2, 2, 4, 4), None, "5 axes needs their names"),
        ((2, 4, 4), ("query", "key"), "must name each of the 3 axes of the array once"),
        ((2, 4, 4), ("batch", "batch", "key"), "must name each of the 3 axes of the array once"),
        ((4, 4), "qk", "must name each of the 2 axes"),
        ((2, 4, 4), ("head", "key", "query"), "axes with key must be query and key at the end"),
        ((2, 2, 4, 4), ("head", "batch", "query", "key"), "before them batch, head, or both in this order"),
    ],
)
def test_axes_that_do_not_fit_are_refused(shape, axes, words):
    with pytest.raises(maskkit.ConfigError) as error:
        maskkit.from_array(np.ones(shape, bool), true="allowed", axes=axes)
    assert words in str(error.value)


def test_a_tokenizers_integers_are_read_where_true_is_named():
    """0 and 1 of any library; other numbers are refused."""
    expected = maskkit.from_array(np.array([True, True, False]), true="allowed")
    for ones in (np.array([1, 1, 0]), torch.tensor([1, 1, 0]), [1, 1, 0], np.array([1, 1, 0], "uint8")):
        np.testing.assert_array_equal(maskkit.from_array(ones, true="allowed"), expected)
    with pytest.raises(maskkit.ConfigError, match="boolean"):
        maskkit.from_array(np.array([1, 2]), true="allowed")
