"""Dilated: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_dilated import Dilated
from maskkit import ConfigError, limits
from maskkit.testing import check_plugin


def with_gaps(seq_len, window_size, dilation, causal):
    """Step from every query, backwards and, if not causal, forwards."""
    reach = window_size // 2
    steps = range(window_size) if causal else range(-reach, reach + 1)
    seen = np.zeros((seq_len, seq_len), bool)
    for query in range(seq_len):
        for j in steps:
            if 0 <= query - j * dilation < seq_len:
                seen[query, query - j * dilation] = True
    return seen


def test_contract():
    check_plugin(Dilated)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    ("seq_len", "window_size", "dilation"),
    [(1, 1, 1), (1, 9, 4), (17, 5, 3), (17, 4, 2), (12, 3, 1), (12, 40, 5), (9, 2, 100), (130, 60, 2)],
)
def test_is_a_window_with_gaps(seq_len, window_size, dilation, causal):
    window_size += not causal and window_size % 2 == 0
    mask = Dilated(seq_len=seq_len, window_size=window_size, dilation=dilation, causal=causal)
    np.testing.assert_array_equal(mask.allowed(), with_gaps(seq_len, window_size, dilation, causal))


def test_an_even_window_has_no_middle():
    with pytest.raises(ConfigError, match="window_size must be odd where causal is False, got 4; 3 and 5 reach as far"):
        Dilated(seq_len=9, window_size=4, dilation=2, causal=False)


def test_spans_and_predicate_agree_about_many_keys(monkeypatch):
    """More keys than `maskkit.limits.intervals` give no spans; with a higher limit they do, and the same mask."""
    monkeypatch.setattr(limits, "few_intervals", 0)
    mask = Dilated(seq_len=200, window_size=50, dilation=3)
    dense, stats = mask.allowed(), mask.stats()
    assert stats.intervals is None
    monkeypatch.setattr(limits, "intervals", 50)
    assert mask.stats().intervals == 50
    np.testing.assert_array_equal(mask.allowed(), dense)


def test_without_gaps_it_is_one_interval():
    assert Dilated(seq_len=500, window_size=100, dilation=1).stats().intervals == 1


def test_a_huge_window_costs_nothing():
    """What reaches beyond the sequence is left out before anything is computed."""
    assert Dilated(seq_len=9, window_size=10**12, dilation=2).stats().allowed == 1 + 1 + 2 + 2 + 3 + 3 + 4 + 4 + 5


def test_a_long_sequence_counts_without_a_dense_array():
    """n = 65,536: sixteen keys for every query but the first ones, who see one more with every dilation."""
    mask = Dilated(seq_len=65_536, window_size=16, dilation=64)
    assert mask.stats().allowed == 65_536 * 16 - 64 * sum(range(16))
