"""Block diffusion: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_block_diffusion import BlockDiffusion
import maskkit
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(BlockDiffusion)


@pytest.mark.parametrize(("half", "block_size"), [(1, 1), (6, 2), (7, 3), (8, 8), (5, 9), (6, 1)])
def test_its_quadrants_are_blocks_of_the_half(half, block_size):
    """Noised: own block, clean blocks before; clean: nothing noised, clean blocks up to the own."""
    block = np.arange(half) // block_size
    row, column = block[:, None], block[None, :]
    expected = np.block([[row == column, column < row], [np.zeros((half, half), bool), column <= row]])
    np.testing.assert_array_equal(BlockDiffusion(seq_len=2 * half, block_size=block_size).allowed(), expected)


def test_is_the_grid_that_it_says_it_is():
    diagonal = maskkit.create("block_diagonal", seq_len=12, block_size=4)
    causal = maskkit.create("block_causal", seq_len=12, block_size=4)
    quadrants = maskkit.grid([[diagonal, causal & ~diagonal], [None, causal]])
    np.testing.assert_array_equal(BlockDiffusion(seq_len=24, block_size=4).allowed(), quadrants.allowed())


def test_an_odd_length_is_refused():
    with pytest.raises(maskkit.ConfigError, match="seq_len must be even and positive, got 7"):
        BlockDiffusion(seq_len=7, block_size=2)


def test_a_row_has_at_most_two_intervals():
    """So that a long one is as cheap as its rows."""
    assert BlockDiffusion(seq_len=65_536, block_size=32).stats().intervals == 2
