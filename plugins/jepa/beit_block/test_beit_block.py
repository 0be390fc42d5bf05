"""BEiT's blocks: the contract, and the facts; the law of the blocks is held to a plain loop in tests/jepa."""

import numpy as np
import pytest
from maskkit_jepa_beit_block import BeitBlock
import maskkit
from maskkit import ConfigError
from maskkit_jepa.testing import check_strategy


def test_contract():
    check_strategy(BeitBlock)


def test_masks_are_pinned():
    """The masks of a seed stay what they are: trainings are resumed years later."""
    drawn = maskkit.create("beit_block", input_size=64, min_block=3, seed=0).sample([0, 1]).numpy()
    assert drawn.to_indices().targets[:, 0].tolist() == [[1, 5, 9, 13, 14, 15], [5, 6, 7, 9, 10, 11]]


def test_every_image_has_75_of_196_patches_masked():
    """BEiT's code ends with 65 to 75, and with 75 in two thirds of the images."""
    context, targets = maskkit.create("beit_block", seed=0).sample(range(5000)).arrays
    assert set(targets.sum(axis=2).ravel().tolist()) == {75}
    assert (context ^ targets[:, 0]).all()


def test_masks_are_blocks():
    """A masked patch has 3 masked ones of its 4 neighbours and more; of random ones it would be 1.5."""
    masked = maskkit.create("beit_block", seed=0).sample(range(1000)).arrays[1].reshape(-1, 14, 14)
    pairs = (masked[:, 1:] & masked[:, :-1]).sum() + (masked[:, :, 1:] & masked[:, :, :-1]).sum()
    assert 2 * pairs / masked.sum() > 3


def test_every_patch_is_masked_and_seen_in_many_images():
    often = maskkit.create("beit_block", seed=0).sample(range(5000)).arrays[1].mean(axis=(0, 1))
    assert 0.03 < often.min() < often.max() < 0.9


def test_beits_spellings_load():
    theirs = dict(mask_ratio=0.383, min_num_patches=16, aspect_ratio=(0.3, 1 / 0.3))
    assert maskkit.config("beit_block", **theirs, seed=0) == BeitBlock(seed=0)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            dict(min_block=76),
            "min_block must be at most 75, the patches that a block may mask on a 14 x 14 grid, got 76",
        ),
        (dict(min_block=0), "min_block must be positive, got 0"),
        (dict(ratio=1.0), "ratio must be between 0.0 and 1.0, and neither, got 1.0"),
        (dict(ratio=0.001), "ratio must leave and mask at least one of 196 tokens, got 0.001"),
        (dict(aspect_ratio_range=(2.0, 0.5)), "aspect_ratio_range must be a pair"),
        (dict(aspect_ratio_range=(40.0, 50.0)), "aspect_ratio_range: no block of 16 to 75 patches .* nearest range"),
        (dict(input_size=200), "input_size must be divisible by patch_size 16, got 200 .192 and 208 are"),
        (dict(input_size=16), "input_size must be larger than one patch of 16"),
        (dict(mask_ratoi=0.5), "unknown parameter 'mask_ratoi'; did you mean 'mask_ratio'"),
    ],
)
def test_wrong_parameters_are_named_with_the_way_out(params, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.config("beit_block", **params)


@pytest.mark.parametrize("side", [2, 3, 4, 6])
def test_small_images_have_their_number_too(side):
    strategy = maskkit.create("beit_block", input_size=16 * side, ratio=0.5, min_block=1, seed=0)
    assert set(strategy.sample(np.arange(500)).arrays[1].sum(axis=2).ravel().tolist()) == {(side * side + 1) // 2}
