"""Fixed: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_fixed import Fixed
import maskkit
from maskkit import limits
from maskkit.testing import check_plugin


def both_heads(seq_len, stride, c):
    """The paper's A1 = {j: floor(j / l) = floor(i / l)} and A2 = {j: j mod l >= t} with t = l - c, for j <= i."""
    seen = np.zeros((seq_len, seq_len), bool)
    for i in range(seq_len):
        for j in range(i + 1):
            seen[i, j] = j // stride == i // stride or j % stride in range(stride - c, stride)
    return seen


def test_contract():
    check_plugin(Fixed)


@pytest.mark.parametrize(
    ("seq_len", "block_size", "num_summary"),
    [(1, 1, 1), (1, 7, 3), (16, 4, 1), (17, 5, 2), (12, 1, 0), (12, 1, 1), (9, 40, 40), (50, 7, 7), (50, 7, 0)],
)
def test_is_both_heads_of_the_paper(seq_len, block_size, num_summary):
    mask = Fixed(seq_len=seq_len, block_size=block_size, num_summary=num_summary)
    np.testing.assert_array_equal(mask.allowed(), both_heads(seq_len, block_size, num_summary))


def test_the_example_of_the_paper():
    """A stride of 128 and c = 8: past 128 all see 120..127, past 256 also 248..255."""
    mask = Fixed(seq_len=384, block_size=128, num_summary=8).allowed()
    assert np.flatnonzero(mask[200]).tolist() == [*range(120, 128), *range(128, 201)]
    assert np.flatnonzero(mask[256]).tolist() == [*range(120, 128), *range(248, 256), 256]


@pytest.mark.parametrize(("seq_len", "block_size"), [(30, 5), (31, 6), (25, 2)])
def test_two_steps_reach_everything_before_a_block(seq_len, block_size):
    """What the factorisation is for: a token comes to the end of its block, and from there to all that follow."""
    once = Fixed(seq_len=seq_len, block_size=block_size, num_summary=1).allowed(dtype="int64")
    np.testing.assert_array_equal(once @ once > 0, np.tri(seq_len, dtype=bool))


def test_without_a_summary_blocks_are_causal_and_apart():
    expected = maskkit.parse("causal & block_diagonal(block_size=4)", seq_len=14)
    np.testing.assert_array_equal(Fixed(seq_len=14, block_size=4, num_summary=0), expected)


def test_a_summary_of_whole_blocks_is_causal():
    np.testing.assert_array_equal(Fixed(seq_len=14, block_size=4, num_summary=4), np.tri(14, dtype=bool))


def test_a_summary_longer_than_its_block_is_refused():
    with pytest.raises(maskkit.ConfigError, match=r"^num_summary must be at most block_size=4, got 5$"):
        Fixed(seq_len=14, block_size=4, num_summary=5)


def test_spans_and_predicate_agree_about_many_blocks(monkeypatch):
    """More blocks than the limit have no spans; with a higher limit they have, and are the same."""
    monkeypatch.setattr(limits, "few_intervals", 0)
    mask = Fixed(seq_len=200, block_size=4, num_summary=1)
    dense = mask.allowed()
    assert mask.stats().intervals is None
    monkeypatch.setattr(limits, "intervals", 50)
    assert mask.stats().intervals == 49  # the last summary adjoins the own block
    np.testing.assert_array_equal(mask.allowed(), dense)
