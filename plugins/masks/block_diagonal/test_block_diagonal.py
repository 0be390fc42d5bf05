"""Block diagonal: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_block_diagonal import BlockDiagonal
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(BlockDiagonal)


@pytest.mark.parametrize(("seq_len", "block_size"), [(12, 4), (11, 4), (3, 8), (5, 1)])
def test_blocks_do_not_see_each_other(seq_len, block_size):
    """Equal to blocks of ones along the diagonal, the last one cut."""
    expected = np.kron(np.eye(seq_len, dtype=bool), np.ones((block_size, block_size), bool))[:seq_len, :seq_len]
    np.testing.assert_array_equal(BlockDiagonal(seq_len=seq_len, block_size=block_size), expected)
