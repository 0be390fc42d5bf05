"""Sink: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_sink import Sink
from maskkit.testing import check_plugin


def rolling_caches(seq_len, window_size, num_sinks):
    """What a cache holds while tokens come one by one, and the oldest that is no sink leaves when it is full."""
    seen, held = np.zeros((seq_len, seq_len), bool), []
    for token in range(seq_len):
        held.append(token)
        rolling = [t for t in held if t >= num_sinks]
        if len(rolling) > window_size:
            held.remove(rolling[0])
        seen[token, held] = True
    return seen


def test_contract():
    check_plugin(Sink)


@pytest.mark.parametrize("num_sinks", [0, 1, 4, 30])
@pytest.mark.parametrize(("seq_len", "window_size"), [(1, 1), (1, 8), (13, 1), (20, 6), (9, 50)])
def test_is_the_rolling_cache_of_the_paper(seq_len, window_size, num_sinks):
    mask = Sink(seq_len=seq_len, window_size=window_size, num_sinks=num_sinks)
    np.testing.assert_array_equal(mask.allowed(), rolling_caches(seq_len, window_size, num_sinks))


def test_four_sinks_are_the_default():
    assert Sink(seq_len=8, window_size=2) == Sink(seq_len=8, window_size=2, num_sinks=4)


def test_a_long_sequence_sees_window_and_sinks():
    """From the first query whose window has left the sinks, every query sees num_sinks + window_size keys."""
    mask = Sink(seq_len=65_536, window_size=1020)
    assert mask[1023:, :].stats().allowed == (65_536 - 1023) * 1024
    assert mask[:1024, :].stats().allowed == 1024 * 1025 // 2
