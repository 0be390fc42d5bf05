"""Sliding window: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_sliding_window import SlidingWindow
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(SlidingWindow)


def test_row_q_sees_the_last_keys_up_to_q():
    """Of 6 tokens with a window of 3, written out."""
    expected = [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 1, 1, 1, 0],
        [0, 0, 0, 1, 1, 1],
    ]
    np.testing.assert_array_equal(SlidingWindow(seq_len=6, window_size=3).allowed(), np.array(expected, bool))


def test_a_window_of_one_is_the_diagonal():
    np.testing.assert_array_equal(SlidingWindow(seq_len=5, window_size=1), np.eye(5, dtype=bool))


@pytest.mark.parametrize("window_size", [9, 10, 10**12])
def test_a_window_beyond_the_sequence_is_causal(window_size):
    np.testing.assert_array_equal(SlidingWindow(seq_len=9, window_size=window_size), np.tri(9, dtype=bool))
