"""Window: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_window import Window
import maskkit
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(Window)


@pytest.mark.parametrize("left", [-1, 0, 1, 3, 9])
@pytest.mark.parametrize("right", [-1, 0, 2, 7, 10**12])
def test_row_q_sees_left_tokens_before_it_and_right_after_it(left, right):
    """Cut out of a list of positions, key by key."""
    expected = np.zeros((8, 8), bool)
    for q in range(8):
        before, after = list(range(q)), list(range(q + 1, 8))
        seen = [q, *(before if left < 0 else before[max(0, q - left) :]), *(after if right < 0 else after[:right])]
        expected[q, seen] = True
    np.testing.assert_array_equal(Window(seq_len=8, left=left, right=right), expected)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [(-1, 0, "causal"), (3, 0, "sliding_window(window_size=4)"), (2, 2, "banded(band_width=5)")],
)
def test_special_windows_have_names_of_their_own(left, right, same):
    window = Window(seq_len=9, left=left, right=right)
    np.testing.assert_array_equal(window, maskkit.parse(same, seq_len=9))


@pytest.mark.parametrize(("left", "right"), [(3, 2), (0, 4), (-1, 1), (2, -1), (-1, -1)])
def test_fits_gives_back_the_pair(left, right):
    assert Window(seq_len=12, left=left, right=right).fits()["window"] == (left, right)


@pytest.mark.parametrize("bad", [-2, 2**62])
def test_refuses_what_is_no_number_of_tokens(bad):
    with pytest.raises(maskkit.ConfigError, match=rf"^right must be -1, for all, or a number from 0, got {bad}$"):
        Window(seq_len=4, left=1, right=bad)


def test_a_million_tokens_are_counted_from_spans():
    n = 10**6
    assert Window(seq_len=n, left=3, right=2).stats().allowed == 6 * n - (1 + 2 + 3) - (1 + 2)
