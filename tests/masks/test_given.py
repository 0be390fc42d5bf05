"""Arrays from elsewhere enter by one door."""

import numpy as np
import pytest
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


@pytest.mark.parametrize("shape", [(5,), (4, 6), (2, 4, 4), (2, 3, 4, 5)])
def test_from_array_of_any_rank(shape):
    values = np.random.default_rng(0).random(shape) < 0.5
    check_mask(maskkit.from_array(values, true="allowed"))
