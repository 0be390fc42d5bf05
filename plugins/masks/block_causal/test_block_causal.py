"""Block causal: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_block_causal import BlockCausal
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(BlockCausal)


@pytest.mark.parametrize(("seq_len", "block_size"), [(1, 1), (1, 5), (12, 4), (13, 4), (6, 6), (6, 90)])
def test_is_a_causal_mask_of_whole_blocks(seq_len, block_size):
    """The lower triangle, every cell of it blown up to a block, cut at the last token."""
    blocks = np.tri(-(-seq_len // block_size), dtype=bool)
    expected = np.kron(blocks, np.ones((block_size, block_size), bool))[:seq_len, :seq_len]
    np.testing.assert_array_equal(BlockCausal(seq_len=seq_len, block_size=block_size).allowed(), expected)


def test_blocks_of_one_token_are_causal():
    np.testing.assert_array_equal(BlockCausal(seq_len=7, block_size=1).allowed(), np.tri(7, dtype=bool))


def test_within_a_block_both_directions_are_allowed():
    allowed = BlockCausal(seq_len=8, block_size=4).allowed()
    assert allowed[4:, 4:].all()
    assert allowed[:4, :4].all()


def test_aligned_blocks_are_never_partial():
    """What a kernel that works in blocks of the same size wants."""
    assert BlockCausal(seq_len=65_536, block_size=128).blocks(128).counts()["partial"] == 0
