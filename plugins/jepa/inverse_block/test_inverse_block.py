"""Inverse blocks: the contract, and the facts."""

import itertools
import random

import numpy as np
import pytest
from maskkit_jepa_inverse_block import InverseBlock
import maskkit
from maskkit import ConfigError
from maskkit_jepa.testing import check_strategy, wilson_hilferty


def test_contract():
    check_strategy(InverseBlock)


def test_masks_are_pinned():
    """The masks of a seed stay what they are: trainings are resumed years later."""
    drawn = maskkit.create("inverse_block", input_size=96, block_size=2, seed=0).sample([0, 1]).numpy()
    assert drawn.to_indices().context.tolist() == [[3, 8, 17, 18, 22, 24, 30], [5, 14, 15, 20, 21, 26, 27]]


def test_every_image_keeps_39_of_196_patches():
    context, targets = maskkit.create("inverse_block", seed=0).sample(range(5000)).arrays
    assert set(context.sum(axis=1).tolist()) == {39}
    assert (context ^ targets[:, 0]).all()


def looped(rng, config):
    """The patches that one image keeps, as a set of places."""
    (height, width), size, kept = config.grid, config.block_size, set()
    for _ in range(config.blocks()):
        y, x = rng.randrange(height), rng.randrange(width)
        rows = range(y - size // 2, y - size // 2 + size)
        columns = range(x - size // 2, x - size // 2 + size)
        kept |= {(i, j) for i in rows for j in columns if 0 <= i < height and 0 <= j < width}
    number = config.kept()
    if len(kept) >= number:
        return set(rng.sample(sorted(kept), number))
    rest = sorted({(i, j) for i in range(height) for j in range(width)} - kept)
    return kept | set(rng.sample(rest, number - len(kept)))


@pytest.mark.parametrize(
    "params",
    [dict(), dict(ratio=0.6, block_size=4), dict(input_size=(64, 160), ratio=0.5, block_size=2, adjust=0.0)],
    ids=["data2vec", "even blocks", "added at random"],
)
def test_the_law_is_that_of_the_plain_loop(params):
    """Two-sample chi-squares of figures of 20,000 images against 3,000 of the loop: all |z| < 4.5."""
    strategy, rng = maskkit.create("inverse_block", seed=3, **params), random.Random(5)
    height, width = strategy.grid
    loops = np.zeros((3000, height, width), bool)
    for plane in loops:
        for place in looped(rng, strategy.config):
            plane[place] = True
    ours = strategy.sample(range(20_000)).arrays[0].reshape(-1, height, width)
    z = {}
    for name, figure in {
        "neighbours": lambda kept: (kept[:, 1:] & kept[:, :-1]).sum(axis=(1, 2)),
        "rows": lambda kept: kept.any(axis=2).sum(axis=1),
        "top": lambda kept: kept[:, 0].sum(axis=1),
        "bottom": lambda kept: kept[:, -1].sum(axis=1),
        "left half": lambda kept: kept[:, :, : width // 2].sum(axis=(1, 2)),
    }.items():
        z[name] = wilson_hilferty(figure(ours), figure(loops))
    assert max(map(abs, z.values())) < 4.5, z


def test_counts_are_those_of_data2vecs_code():
    """Kept patches and blocks, in binary floating point: grids of 2 to 20 x 20, ratios in steps of 0.05."""
    for side, ratio, size in itertools.product(range(2, 21), (k / 20 for k in range(1, 20)), (1, 2, 3)):
        n = side * side
        kept, blocks = int(n * (1 - ratio)), int(n * ((1 - ratio + 0.07) / size**2))
        if kept >= size * size and size <= side:
            config = maskkit.config("inverse_block", input_size=16 * side, ratio=ratio, block_size=size)
            assert (config.kept(), config.blocks()) == (kept, max(blocks, 1))


def test_views_are_independent_masks():
    views = maskkit.create("inverse_block", num_views=3, seed=0).sample(range(2000))
    assert list(views) == ["view_0", "view_1", "view_2"]
    first, second, _ = (view.arrays[0] for view in views.values())
    shared = (first & second).sum(axis=1).mean()
    places = first.mean(axis=0) @ second.mean(axis=0)  # for independent ones
    assert shared == pytest.approx(places, abs=0.4)


def test_data2vecs_spellings_load():
    theirs = dict(mask_prob=0.8, mask_length=3, mask_prob_adjust=0.07, clone_batch=16)
    assert maskkit.config("inverse_block", **theirs, seed=0) == InverseBlock(num_views=16, seed=0)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (dict(block_size=7), "block_size must be at most 6, for 39 of 14 x 14 patches are kept, got 7; lower it or"),
        (dict(block_size=0), "block_size must be positive, got 0"),
        (dict(ratio=0.0), "ratio must be between 0.0 and 1.0, and neither, got 0.0"),
        (dict(ratio=0.999), "ratio must leave and mask at least one of 196 tokens, got 0.999"),
        (dict(adjust=-0.1), "adjust must"),
        (dict(num_views=0), "num_views must be positive, got 0"),
        (dict(input_size=200), "input_size must be divisible by patch_size 16, got 200"),
        (dict(input_size=16), "input_size must be larger than one patch of 16"),
    ],
)
def test_wrong_parameters_are_named_with_the_way_out(params, words):
    with pytest.raises(ConfigError, match=words):
        maskkit.config("inverse_block", **params)
