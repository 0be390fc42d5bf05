"""Randomness is a function of (seed, q, k): the same everywhere, and as good as independent."""

import random

import numpy as np
import pytest
import maskkit
from maskkit import random_bits, threshold

N = 512


@pytest.fixture(scope="module")
def grid():
    return np.arange(N)[:, None], np.arange(N)[None, :]


def test_any_tile_in_any_order_gives_the_same_bits():
    mask = maskkit.create("random", seq_len=64, mask_probability=0.5, seed=9)
    whole = mask.allowed()
    for rows, keys in ((slice(5, 9), slice(60, None)), (slice(None, None, -1), slice(3, 40, 7))):
        np.testing.assert_array_equal(mask[rows, keys], whole[rows, keys])
    longer = maskkit.create("random", seq_len=100, mask_probability=0.5, seed=9)
    np.testing.assert_array_equal(longer[:64, :64], whole)


@pytest.mark.parametrize("far", [2**31, np.int64(2**40), np.array([3, 2**33])])
def test_positions_that_32_bits_do_not_hold_are_refused(far):
    """On NumPy they would wrap around, on Torch they would not."""
    with pytest.raises(maskkit.ConfigError, match=r"below 2\*\*31"):
        random_bits(3, 0, far)


def test_the_bits_are_pinned():
    """Changing the hash would change every saved model's mask."""
    assert [int(random_bits(s, q, k)) for s, q, k in PINNED] == list(PINNED.values())


PINNED = {
    (0, 0, 0): 555081404,
    (1, 0, 0): 2113500572,
    (0, 1, 0): 543075260,
    (0, 0, 1): 1048227872,
    (7, 123, 456): 1592611945,
    (2**64 - 1, 2**31 - 1, 2**31 - 1): 1131639008,
}


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint32])
def test_integer_widths_agree(kind):
    q, k = np.arange(40, dtype=kind)[:, None] * 50_000_000, np.arange(40, dtype=kind)[None, :] * 12_345_678
    expected = [[random_bits(7, int(a), int(b)) for b in k[0]] for a in q[:, 0]]
    np.testing.assert_array_equal(random_bits(7, q, k), expected)


def test_every_bit_is_fair_and_independent_of_its_neighbours(grid):
    """Means and correlations of all 31 bits, with neighbours, the transpose and the next seed: to 5 standard errors."""
    bits = random_bits(123, *grid)
    others = {
        "right": np.roll(bits, 1, 1),
        "below": np.roll(bits, 1, 0),
        "transpose": bits.T,
        "seed": random_bits(124, *grid),
    }
    bound = 5 / N  # a standard error is 1 / sqrt(N * N)
    for place in range(31):
        sign = 1 - 2 * (bits >> place & 1)
        assert abs(sign.mean()) < bound, place
        for name, other in others.items():
            product = sign * (1 - 2 * (other >> place & 1))
            off_diagonal = product[~np.eye(N, dtype=bool)] if name == "transpose" else product
            assert abs(off_diagonal.mean()) < bound, (place, name)


def test_values_are_uniform_and_rarely_meet(grid):
    bits = random_bits(5, *grid)
    assert bits.min() >= 0
    assert bits.max() < 2**31
    counts = np.bincount((bits >> 23).ravel(), minlength=256)
    chi_square = ((counts - N * N / 256) ** 2 / (N * N / 256)).sum()
    assert 160 < chi_square < 370  # 255 degrees of freedom: five standard deviations are 113
    assert N * N - len(np.unique(bits)) < 50  # 16 coincidences are expected among 2**31 values


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 1.0])
def test_share_of_blocked_pairs(probability):
    mask = maskkit.create("random", seq_len=400, mask_probability=probability, seed=3)
    blocked = mask.blocked().mean()
    assert blocked == pytest.approx(probability, abs=5 * np.sqrt(probability * (1 - probability)) / 400)
    assert threshold(0.0) == 0
    assert threshold(1.0) == 2**31


def test_seeds_are_drawn_once_and_shown():
    a, b = maskkit.create("random", seq_len=4), maskkit.create("random", seq_len=4)
    assert a.seed != b.seed
    assert f"seed={a.seed}" in repr(a)
    assert maskkit.from_dict(maskkit.to_dict(a)) == a


def test_no_global_generator_is_touched():
    import torch

    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    maskkit.create("random", seq_len=32).allowed("torch")
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


def test_seeds_out_of_range_are_refused():
    for seed in (-1, 2**64):
        with pytest.raises(maskkit.ConfigError, match=r"seed must be in \[0, 2\*\*64\), got"):
            maskkit.create("random", seq_len=4, seed=seed)
