"""DINOv2's blocks: the contract, and the facts; the law of the blocks is held to a plain loop in tests/jepa."""

import numpy as np
import pytest
from maskkit_jepa_dinov2_block import Dinov2Block
import maskkit
from maskkit import ConfigError
from maskkit_jepa.testing import check_strategy, wilson_hilferty


def test_contract():
    check_strategy(Dinov2Block)


def test_masks_are_pinned():
    """The masks of a seed stay what they are: trainings are resumed years later."""
    strategy = maskkit.create("dinov2_block", input_size=64, image_share=1.0, min_block=2, seed=0)
    index = strategy.sample([0, 1]).numpy().to_indices(pad=-1)
    assert index.targets[:, 0].tolist() == [[1, 5, 9, -1, -1, -1, -1], [5, 6, 7, 8, 9, 10, 11]]


def test_half_of_the_images_are_masked_in_any_run_of_them():
    """Of 64 consecutive images 32, give or take 3; independent ones would give or take 12 (3 sigma)."""
    strategy = maskkit.create("dinov2_block", seed=0)
    masked = strategy.sample(range(20_000)).arrays[1].any(axis=(1, 2))
    assert masked.mean() == pytest.approx(0.5, abs=1e-3)
    runs = np.convolve(masked, np.ones(64), mode="valid")
    assert 29 <= runs.min() <= runs.max() <= 35


def test_ratios_fill_their_range_evenly():
    """Patches of masked images: 10-50 % of 196, rounded down, each number as often as the next, in any 256 images."""
    counts = maskkit.create("dinov2_block", seed=1).sample(range(20_000)).arrays[1].sum(axis=(1, 2))
    some = counts[counts > 0]
    assert (some.min(), some.max()) == (19, 97)
    rng = np.random.default_rng(0)
    expected = np.floor(rng.uniform(0.1, 0.5, 100_000) * 196).astype(int)
    assert wilson_hilferty(some, expected) < 4.5
    batches = counts[: 78 * 256].reshape(78, 256).sum(axis=1) / (256 * 196)
    assert batches.mean() == pytest.approx(0.15, abs=2e-3)
    assert batches.std() < 0.004  # 0.011 for independent images


def test_images_without_targets_are_seen_whole():
    context, targets = maskkit.create("dinov2_block", seed=0).sample(range(1000)).arrays
    assert (context ^ targets[:, 0]).all()
    assert context[~targets.any(axis=(1, 2))].all()


def test_weights_are_one_over_the_count():
    drawn = maskkit.create("dinov2_block", seed=0).sample(range(500)).numpy()
    masked, weights = drawn.targets[:, 0], drawn["weights"]
    assert weights.dtype == np.float32
    assert ((weights > 0) == masked).all()
    np.testing.assert_allclose(weights.sum(axis=1), masked.any(axis=1), rtol=1e-5)


def test_seeds_and_epochs_mask_other_images():
    """Which images are masked is as good as independent between epochs and between seeds."""
    one = maskkit.create("dinov2_block", seed=0)
    other = maskkit.create("dinov2_block", seed=1)
    drawn = [one.sample(range(4000)), one.sample(range(4000), epoch=1), other.sample(range(4000))]
    first, *rest = (masks.arrays[1].any(axis=(1, 2)) for masks in drawn)
    assert all(0.05 < (first & others).mean() < 0.45 for others in rest)


def test_dinov2s_spellings_load():
    theirs = dict(mask_ratio_min_max=(0.1, 0.5), mask_sample_probability=0.5)
    assert maskkit.config("dinov2_block", **theirs, seed=0) == Dinov2Block(seed=0)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (dict(image_share=0.0), r"image_share must be in \(0, 1\], got 0.0"),
        (dict(image_share=1.5), r"image_share must be in \(0, 1\], got 1.5"),
        (dict(ratio=(0.5, 0.1)), "ratio must be a pair .low, high. with low <= high, got"),
        (dict(ratio=(0.0, 0.5)), "ratio must be between 0.0 and 1.0, and neither, got 0.0"),
        (dict(ratio=(0.1, 1.0)), "ratio must be between 0.0 and 1.0, and neither, got 1.0"),
        (dict(ratio=(0.0001, 0.5)), "ratio must leave and mask at least one of 196 tokens, got 0.0001"),
        (dict(min_block=99), "min_block must be at most 98"),
        (dict(max_block_share=0.01), "min_block must be at most 1"),
        (dict(aspect_ratio_range=(100.0, 200.0)), "aspect_ratio_range: no block of 4 to 98 patches"),
        (dict(input_size=200), "input_size must be divisible by patch_size 16, got 200"),
        (dict(input_size=16), "input_size must be larger than one patch of 16"),
    ],
)
def test_wrong_parameters_are_named_with_the_way_out(params, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.config("dinov2_block", **params)
