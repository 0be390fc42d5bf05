"""BigBird: the contract, and the facts."""

import itertools
from collections import Counter

import numpy as np
import pytest
from maskkit_mask_bigbird import BigBird
import maskkit
from maskkit.testing import check_plugin


def global_blocks(mask, total):
    """The blocks that see all: the first, or half of them first and half last."""
    blocks = range(total)
    if mask.global_blocks == "first":
        return set(blocks[: mask.num_global_blocks])
    half = mask.num_global_blocks // 2
    return {*blocks[:half], *(blocks[-half:] if half else ())}


def fixed_blocks(mask, total):
    """Window and global blocks, block by block."""
    seen, see_all = np.zeros((total, total), bool), global_blocks(mask, total)
    for row, column in np.ndindex(total, total):
        seen[row, column] = abs(row - column) <= mask.num_window_blocks // 2 or row in see_all or column in see_all
    return seen


def drawn_blocks(seed, row, candidates, size):
    """Floyd's sample of the candidates, with sets and branches."""
    if size >= len(candidates):
        return candidates
    chosen = set()
    for draw, last in enumerate(range(len(candidates) - size, len(candidates))):
        drawn = maskkit.random_bits(seed, row, draw) % (last + 1)
        chosen.add(last if drawn in chosen else drawn)
    return [candidates[i] for i in chosen]


CASES = [
    dict(seq_len=1, block_size=1),
    dict(seq_len=7, block_size=9),
    dict(seq_len=40, block_size=2, num_random_blocks=4),
    dict(seq_len=47, block_size=3, num_random_blocks=1, num_window_blocks=5),
    dict(seq_len=30, block_size=2, num_random_blocks=3, num_window_blocks=1, num_global_blocks=0),
    dict(seq_len=24, block_size=2, num_random_blocks=9, num_global_blocks=1),
    dict(seq_len=12, block_size=2, num_random_blocks=2, num_global_blocks=20),
    dict(seq_len=41, block_size=2, num_random_blocks=4, global_blocks="both_ends"),
    dict(seq_len=32, block_size=1, num_random_blocks=3, num_global_blocks=8, global_blocks="both_ends"),
    dict(seq_len=20, block_size=2, num_random_blocks=20, num_window_blocks=1, global_blocks="both_ends"),
    dict(seq_len=9, block_size=1, num_random_blocks=1, num_global_blocks=0, global_blocks="both_ends"),
    dict(seq_len=9, block_size=2, num_random_blocks=2, num_global_blocks=8, global_blocks="both_ends"),
    dict(seq_len=9, block_size=2, num_random_blocks=2, num_global_blocks=40, global_blocks="both_ends"),
    dict(seq_len=3, block_size=9, global_blocks="both_ends"),
]


def test_contract():
    check_plugin(BigBird)


@pytest.mark.parametrize("params", CASES)
def test_is_window_global_and_random_blocks(params):
    """Every block, cut at the last token, is what a plain construction from the paper's text says."""
    mask = BigBird(seed=11, **params)
    total = -(-mask.seq_len // mask.block_size)
    blocks = fixed_blocks(mask, total)
    for row in sorted(set(range(total)) - global_blocks(mask, total)):
        candidates = np.flatnonzero(~blocks[row]).tolist()
        blocks[row, drawn_blocks(mask.seed, row, candidates, mask.num_random_blocks)] = True
    expected = blocks.repeat(mask.block_size, axis=0).repeat(mask.block_size, axis=1)
    np.testing.assert_array_equal(mask.allowed(), expected[: mask.seq_len, : mask.seq_len])


def test_every_query_block_sees_as_many_blocks():
    """In the middle: 2 global, 3 around the query, and 3 random ones, never fewer."""
    mask = BigBird(seq_len=64 * 256, seed=5)
    seen = (mask.blocks(64).dense() == 2).sum(axis=1)
    assert seen[:2].tolist() == [256, 256]
    assert set(seen[3:-1].tolist()) == {2 + 3 + 3}
    assert seen[2] == seen[-1] == 2 + 2 + 3  # block 2 is beside the global ones, the last has one neighbour


def test_both_ends_are_the_global_blocks_of_the_authors():
    """By default the first and the last block; their own row and column are whole, and no other's."""
    mask = BigBird(seq_len=32, block_size=2, num_random_blocks=0, global_blocks="both_ends", seed=1).allowed()
    whole = [*range(2), *range(30, 32)]
    assert np.flatnonzero(mask.all(axis=1)).tolist() == np.flatnonzero(mask.all(axis=0)).tolist() == whole
    first = BigBird(seq_len=32, block_size=2, num_random_blocks=0, seed=1).allowed()
    assert mask.sum() == first.sum() == 400


def test_an_odd_number_of_blocks_at_both_ends_is_refused():
    expected = r"^num_global_blocks must be even for global_blocks 'both_ends', got 3: 2 or 4$"
    with pytest.raises(maskkit.ConfigError, match=expected):
        BigBird(seq_len=32, num_global_blocks=3, global_blocks="both_ends")


def test_all_subsets_are_drawn_equally_often():
    """2 of 4 candidates: the six subsets of each row pass a chi-square test at 0.1 %."""
    counts = Counter()
    for seed in range(400):
        mask = BigBird(
            seq_len=5, block_size=1, num_random_blocks=2, num_window_blocks=1, num_global_blocks=0, seed=seed
        )
        others = mask.allowed()[~np.eye(5, dtype=bool)].reshape(5, 4)
        counts.update(tuple(np.flatnonzero(row).tolist()) for row in others)
    assert set(counts) == set(itertools.combinations(range(4), 2))
    mean = 5 * 400 / 6
    assert sum((count - mean) ** 2 / mean for count in counts.values()) < 20.5


def test_another_seed_is_another_mask():
    one, other = (BigBird(seq_len=64, block_size=2, seed=seed) for seed in (1, 2))
    assert not np.array_equal(one.allowed(), other.allowed())


def test_an_unseeded_mask_shows_its_seed():
    mask = BigBird(seq_len=64, block_size=2)
    assert f"seed={mask.seed}" in repr(mask)
    np.testing.assert_array_equal(BigBird(seq_len=64, block_size=2, seed=mask.seed).allowed(), mask.allowed())
