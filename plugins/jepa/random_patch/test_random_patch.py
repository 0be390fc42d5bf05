"""Random patches: the contract, and the facts."""

import itertools

import numpy as np
import pytest
from maskkit_jepa_random_patch import RandomPatch
import maskkit
from maskkit import ConfigError
from maskkit_jepa.testing import check_strategy
from maskkit_jepa.transformers_vision import vit_mae_noise


def test_contract():
    check_strategy(RandomPatch)


def test_masks_are_pinned():
    """The masks of a seed stay what they are: trainings are resumed years later."""
    drawn = maskkit.create("random_patch", input_size=64, seed=0).sample([0, 1]).numpy()
    assert drawn.to_indices().context.tolist() == [[4, 5, 7, 13], [6, 8, 13, 14]]


def test_every_image_keeps_a_quarter_of_its_patches():
    """147 of 196 are masked, 49 kept, of every one of 5,000 images: what stacks without padding."""
    context, targets = maskkit.create("random_patch", seed=0).sample(range(5000)).arrays
    assert set(targets.sum(axis=2).ravel().tolist()) == {147}
    assert set(context.sum(axis=1).tolist()) == {49}
    assert (context ^ targets[:, 0]).all()


def test_all_sets_of_patches_are_equally_likely():
    """2 of 2 x 3 patches: chi-square over the 15 sets, 30,000 images."""
    strategy = maskkit.create("random_patch", input_size=(32, 48), ratio=1 / 3, seed=0)
    masked = strategy.sample(range(30_000)).arrays[1][:, 0]
    _, counts = np.unique(masked @ (1 << np.arange(6)), return_counts=True)
    assert len(counts) == 15
    assert ((counts - 2000) ** 2 / 2000).sum() < 14 + 5 * np.sqrt(28)


def test_the_count_is_that_of_maes_code():
    """n - int(n (1 - ratio)) in binary floating point, for grids of 2 to 400 patches and ratios in steps of 0.05."""
    for n, ratio in itertools.product(range(2, 401), (k / 20 for k in range(1, 20))):
        expected = n - int(n * (1 - ratio))
        if expected < n:
            assert maskkit.config("random_patch", input_size=(16, 16 * n), ratio=ratio).count() == expected
        else:
            with pytest.raises(ConfigError, match=f"which masks {n}; .* is the nearest that does"):
                maskkit.config("random_patch", input_size=(16, 16 * n), ratio=ratio)


def test_as_many_are_kept_as_vitmae_keeps():
    """Of 7 x 7 patches at 0.6: 19, where the nearest number would be 20; nothing is trimmed for the model."""
    masks = maskkit.create("random_patch", input_size=112, ratio=0.6, seed=0).sample(range(3))
    assert masks.numpy().context.sum(axis=1).tolist() == [19] * 3
    kept = vit_mae_noise(masks, mask_ratio=0.6).argsort(dim=1)[:, :19]
    assert masks.context.gather(1, kept).all()


def test_restore_leads_back():
    """Kept tokens and mask tokens, put one after the other, are the grid again."""
    drawn = maskkit.create("random_patch", seed=0).sample(range(4)).numpy()
    index = drawn.to_indices(count="exact")
    tokens = np.arange(196)[None].repeat(4, axis=0)
    encoded = np.take_along_axis(tokens, index.context, axis=1)
    whole = np.take_along_axis(np.concatenate([encoded, np.full((4, 147), -1)], axis=1), index.restore, axis=1)
    assert (whole == np.where(drawn.context, tokens, -1)).all()


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (dict(ratio=0.0), "ratio must be between 0.0 and 1.0, and neither, got 0.0"),
        (dict(ratio=1.0), "ratio must be between 0.0 and 1.0, and neither, got 1.0"),
        (dict(ratio=0.999), "ratio must leave and mask at least one of 196 tokens, got 0.999.*0.9948 is the nearest"),
        (dict(input_size=(32, 80), ratio=0.9), "got 0.9, which masks 10; 0.8999 is the nearest"),
        (dict(mask_ratoi=0.5), "unknown parameter 'mask_ratoi'; did you mean 'mask_ratio'"),
        (dict(input_size=200), "input_size must be divisible by patch_size 16, got 200"),
        (dict(input_size=16), "input_size must be larger than one patch of 16"),
        (dict(seed=-1), "seed must be in"),
    ],
)
def test_wrong_parameters_are_named_with_the_way_out(params, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.config("random_patch", **params)
