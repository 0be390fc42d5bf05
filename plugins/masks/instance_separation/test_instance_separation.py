"""Instance separation: the contract, and the facts."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from maskkit_mask_instance_separation import InstanceSeparation
import maskkit
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(InstanceSeparation)


def predictions(batch=2, queries=5, height=3, width=4):
    """In tenths, so that there are ties."""
    return np.random.default_rng(0).integers(0, 11, (batch, queries, height, width)) / 10


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9, 1.0])
def test_blocks_all_but_the_first_strongest_where_it_exceeds_the_threshold(threshold):
    scores = predictions()
    expected = np.ones(scores.shape, bool)
    for b, y, x in np.ndindex(2, 3, 4):
        pixel = scores[b, :, y, x].tolist()
        if max(pixel) > threshold:
            expected[b, :, y, x] = [q == pixel.index(max(pixel)) for q in range(5)]
    mask = InstanceSeparation(mask_predictions=scores, separation_threshold=threshold)
    np.testing.assert_array_equal(mask.allowed(), expected)


def test_of_tied_queries_the_first_keeps_the_pixel():
    """Else two instances would overlap."""
    for kind in (np.asarray, torch.as_tensor, jnp.asarray):
        scores = kind(np.full((1, 3, 1, 1), 0.9, np.float32))
        assert InstanceSeparation(mask_predictions=scores).allowed().ravel().tolist() == [True, False, False]


def test_a_pixel_that_nobody_claims_is_open_to_all():
    """The threshold itself is not above the threshold."""
    assert InstanceSeparation(mask_predictions=np.full((1, 3, 2, 2), 0.5)).allowed().all()


def test_bfloat16_predictions_are_read():
    """NumPy has no such dtype; mixed precision gives them."""
    scores = torch.tensor([0.25, 0.75], dtype=torch.bfloat16).reshape(1, 2, 1, 1)
    mask = InstanceSeparation(mask_predictions=scores)
    assert mask.allowed("torch").flatten().tolist() == [False, True]
    assert mask.mask_predictions is scores


def test_gradients_are_left_alone():
    """Predictions that are being trained can be looked at."""
    scores = torch.rand(1, 2, 3, 4, requires_grad=True)
    np.testing.assert_array_equal(
        InstanceSeparation(mask_predictions=scores).allowed(),
        InstanceSeparation(mask_predictions=scores.detach()).allowed(),
    )


def test_every_pixel_is_looked_at_once():
    """However many queries there are: their strongest is found in one pass, and kept."""
    mask = InstanceSeparation(mask_predictions=predictions())
    first = mask._host_claims
    mask.allowed()
    mask.stats()
    assert mask._host_claims is first


@pytest.mark.parametrize("bad", [np.zeros((2, 3, 4)), np.zeros((1, 2, 3, 4), int), None, 0.5])
def test_refuses_what_is_no_batch_of_predictions(bad):
    with pytest.raises(maskkit.ConfigError, match=r"^mask_predictions must be a floating array with 4 axes, got"):
        InstanceSeparation(mask_predictions=bad)


def test_refuses_a_threshold_that_is_no_probability():
    with pytest.raises(maskkit.ConfigError, match=r"^separation_threshold must be in \[0, 1\], got 50$"):
        InstanceSeparation(mask_predictions=predictions(), separation_threshold=50)


def test_asks_for_the_predictions():
    with pytest.raises(maskkit.ConfigError, match=r"^mask_predictions required for instance separation mask$"):
        maskkit.create("instance_separation")
