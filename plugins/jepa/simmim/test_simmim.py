"""SimMIM: the contract, and the facts."""

import itertools

import numpy as np
import pytest
from maskkit_jepa_simmim import SimMim
import maskkit
from maskkit import ConfigError
from maskkit_jepa.testing import check_strategy


def test_contract():
    check_strategy(SimMim)


def test_masks_are_pinned():
    """The masks of a seed stay what they are: trainings are resumed years later."""
    drawn = maskkit.create("simmim", input_size=128, patch_size=32, seed=0).sample([0, 1]).numpy()
    assert drawn.to_indices().context.tolist() == [[4, 5, 6, 7, 12, 13], [4, 6, 8, 13, 14, 15]]


def test_every_image_has_22_of_36_units_masked_whole():
    strategy = maskkit.create("simmim", seed=0)
    context, targets = strategy.sample(range(500)).arrays
    units = targets.reshape(-1, 6, 8, 6, 8).swapaxes(2, 3).reshape(500, 36, 64)
    assert (units.all(axis=2) == units.any(axis=2)).all()
    assert set(units.all(axis=2).sum(axis=1).tolist()) == {22}
    assert (context ^ targets[:, 0]).all()


def test_the_count_is_that_of_simmims_code():
    """ceil(n ratio) in binary floating point, for 2 to 400 units and ratios in steps of 0.05."""
    for n, ratio in itertools.product(range(2, 401), (k / 20 for k in range(1, 20))):
        expected = int(np.ceil(n * ratio))
        if expected < n:
            assert maskkit.config("simmim", input_size=(32, 32 * n), ratio=ratio).count() == expected
        else:
            with pytest.raises(ConfigError, match=f"which masks {n}; .* is the nearest that does"):
                maskkit.config("simmim", input_size=(32, 32 * n), ratio=ratio)


def test_the_recipe_for_vit_masks_30_of_49_units():
    """224 pixels in units of 32, ratio 0.6: the nearest number would be 29."""
    strategy = maskkit.create("simmim", input_size=224, patch_size=16, unit_size=32, ratio=0.6, seed=0)
    assert set(strategy.sample(range(20)).arrays[1].sum(axis=2).ravel().tolist()) == {30 * 4}


def test_patches_of_a_rectangle_follow_their_units():
    """A grid that is no square: 2 x 3 units of 4 x 4 patches."""
    masked = maskkit.create("simmim", input_size=(64, 96), patch_size=8, ratio=0.5, seed=0).sample(range(50)).arrays[1]
    units = masked.reshape(50, 2, 4, 3, 4)
    assert (units == units[:, :, :1, :, :1]).all()
    assert (units[:, :, 0, :, 0].sum(axis=(1, 2)) == 3).all()


def test_all_sets_of_units_are_equally_likely():
    """3 of 2 x 2 units: chi-square over the 4 sets, 20,000 images."""
    strategy = maskkit.create("simmim", input_size=64, patch_size=32, ratio=0.75, seed=0)
    masked = strategy.sample(range(20_000)).arrays[1][:, 0]
    _, counts = np.unique(masked @ (1 << np.arange(4)), return_counts=True)
    assert len(counts) == 4
    assert ((counts - 5000) ** 2 / 5000).sum() < 3 + 5 * np.sqrt(6)


def test_simmims_spellings_load():
    theirs = dict(input_size=192, mask_patch_size=32, model_patch_size=4, mask_ratio=0.6)
    assert maskkit.config("simmim", **theirs, seed=0) == SimMim(seed=0)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (dict(patch_size=12), "unit_size must be divisible by patch_size=12, got 32 .24 and 36 are"),
        (dict(patch_size=64), "unit_size must be divisible by patch_size=64, got 32 .64 is"),
        (dict(input_size=200), "input_size must be divisible by unit_size 32, got 200 .192 and 224 are"),
        (dict(input_size=32), "input_size must be larger than one patch of 32"),
        (dict(ratio=0.99), "ratio must leave and mask at least one of 36 tokens, got 0.99.*0.9722 is the nearest"),
        (dict(ratio=-0.5), "ratio must be between 0.0 and 1.0"),
    ],
)
def test_wrong_parameters_are_named_with_the_way_out(params, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.config("simmim", **params)
