"""Block-wise masks: exact counts, and the law of a plain loop."""

import math
import random

import numpy as np
import pytest
from maskkit import ConfigError
from maskkit_jepa import BlockWise, keys
from maskkit_jepa.blocks.bitsets import rectangle_words, unpack
from maskkit_jepa.testing import wilson_hilferty

ASPECT = (0.3, 1 / 0.3)


def blockwise(grid=(14, 14), smallest=16, largest=75, aspect=ASPECT):
    return BlockWise(grid=grid, smallest=smallest, largest=largest, aspect=aspect)


def looped(rng, law, wanted):
    """One mask (N,), set down block by block on a set of positions."""
    (H, W), mask = law.grid, set()
    while wanted:
        for _ in range(10):
            most = min(wanted, law.largest)
            area = rng.uniform(law.smallest, most)
            aspect = math.exp(rng.uniform(*map(math.log, law.aspect)))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if not (1 <= h <= H and 1 <= w <= W):
                continue
            y, x = rng.randint(0, H - h), rng.randint(0, W - w)
            block = {(i, j) for i in range(y, y + h) for j in range(x, x + w)} - mask
            if 0 < len(block) <= most:
                break
        else:
            break
        mask |= block
        wanted -= len(block)
    while wanted:
        around = {(y + i, x + j) for y, x in mask for i, j in ((0, 1), (1, 0), (0, -1), (-1, 0))}
        rim = sorted((y, x) for y, x in around - mask if 0 <= y < H and 0 <= x < W)
        rim = rim or [(y, x) for y in range(H) for x in range(W) if (y, x) not in mask]
        more = rng.sample(rim, min(wanted, len(rim)))
        mask |= set(more)
        wanted -= len(more)
    cells = np.zeros(law.grid, bool)
    for position in mask:
        cells[position] = True
    return cells.ravel()


def figures(masks, grid):
    """Integers of each mask: its perimeter, its rows, its widest row, its tokens by place."""
    planes = np.pad(masks.reshape(-1, *grid), ((0, 0), (1, 1), (1, 1)))
    perimeter = sum((planes != np.roll(planes, 1, axis)).sum(axis=(1, 2)) for axis in (1, 2))
    return {
        "perimeter": perimeter,
        "rows": planes.any(axis=2).sum(axis=1),
        "widest row": planes.sum(axis=2).max(axis=1),
        "upper half": planes[:, : grid[0] // 2 + 1].sum(axis=(1, 2)),
        "rim": (masks.reshape(-1, *grid)[:, [0, -1]]).sum(axis=(1, 2)),
    }


@pytest.mark.parametrize(
    ("law", "wanted"),
    [
        (blockwise(), 75),
        (blockwise(smallest=4, largest=98), 30),
        (blockwise((6, 9), 3, 10, (0.5, 2.0)), 30),
        (blockwise((5, 5), 9, 9, (1.0, 1.0)), 20),
    ],
    ids=["beit", "dinov2", "small blocks", "grown from the rim"],
)
def test_masks_follow_the_plain_loop(law, wanted):
    """Two-sample chi-squares of figures of 10,000 masks against 1,500 of the loop: all |z| < 4.5."""
    rng = random.Random(3)
    mine = law.draw(keys(5, 0, np.arange(10_000)), np.full(10_000, wanted))
    theirs = np.array([looped(rng, law, wanted) for _ in range(1500)])
    assert set(mine.sum(axis=1).tolist()) == {wanted}
    mine, theirs = figures(mine, law.grid), figures(theirs, law.grid)
    z = {name: wilson_hilferty(mine[name], theirs[name]) for name in mine}
    assert max(map(abs, z.values())) < 4.5, z


@pytest.mark.parametrize("grid", [(2, 2), (3, 7), (14, 14), (40, 40)])
def test_every_count_is_met(grid):
    """From no token to all but one, with blocks that seldom fit."""
    tokens = grid[0] * grid[1]
    law = blockwise(grid, 1, max(1, tokens // 2))
    counts = np.arange(tokens)
    assert (law.draw(keys(1, 0, counts), counts).sum(axis=1) == counts).all()


def test_a_mask_depends_on_its_own_key_and_count():
    law, mine, counts = blockwise(), keys(0, 0, np.arange(40)), np.arange(40) + 16
    together = law.draw(mine, counts)
    alone = np.concatenate([law.draw(mine[i : i + 1], counts[i : i + 1]) for i in range(40)])
    assert (together == alone).all()


@pytest.mark.parametrize("grid", [(5, 9), (60, 60)])
def test_rectangles_as_bits(grid):
    """From tables, and on grids too large for them painted: the rectangle, and nothing else."""
    rng = np.random.default_rng(0)
    h, w = (rng.integers(1, side + 1, 50) for side in grid)
    top, left = rng.integers(0, grid[0] - h + 1), rng.integers(0, grid[1] - w + 1)
    cells = unpack(rectangle_words(grid, top, left, h, w), grid[0] * grid[1]).reshape(50, *grid)
    for i in range(50):
        expected = np.zeros(grid, bool)
        expected[top[i] : top[i] + h[i], left[i] : left[i] + w[i]] = True
        assert (cells[i] == expected).all()


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            dict(smallest=80),
            "min_block must be at most 75, the patches that a block may mask on a 14 x 14 grid, got 80",
        ),
        (dict(smallest=17, largest=17), "min_block: no block of a 14 x 14 grid has 17 to 17 patches, got 17; lower it"),
        (dict(aspect=(40.0, 50.0)), r"aspect_ratio_range: no block of 16 to 75 .*nearest range .* is \(7, 50\)"),
    ],
)
def test_impossible_blocks_are_named_with_the_way_out(params, words):
    with pytest.raises(ConfigError, match=words):
        blockwise(**params)


def test_the_range_that_is_named_is_possible():
    blockwise(aspect=(7.0, 50.0))
