"""Longformer: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_longformer import Longformer
import maskkit
from maskkit.testing import check_plugin


def window_and_global(seq_len, window_size, global_tokens):
    """Half of the window on each side of every token, and a whole row and a whole column for every global one."""
    seen = np.zeros((seq_len, seq_len), bool)
    for token in range(seq_len):
        seen[token, max(0, token - window_size // 2) : token + window_size // 2 + 1] = True
    seen[list(global_tokens)] = True
    seen[:, list(global_tokens)] = True
    return seen


def test_contract():
    check_plugin(Longformer)


@pytest.mark.parametrize(
    ("seq_len", "window_size", "global_tokens"),
    [(1, 1, [0]), (1, 8, []), (12, 4, [0]), (12, 1, [11, 3]), (15, 6, [2, 3, 4, 9]), (9, 50, [4]), (10, 2, range(10))],
)
def test_is_window_and_global_tokens(seq_len, window_size, global_tokens):
    mask = Longformer(seq_len=seq_len, window_size=window_size, global_tokens=global_tokens)
    np.testing.assert_array_equal(mask.allowed(), window_and_global(seq_len, window_size, global_tokens))


def test_more_scattered_tokens_than_intervals(monkeypatch):
    """With too many global tokens apart for spans, the predicate answers, and says the same."""
    monkeypatch.setattr(maskkit.limits, "few_intervals", 0)
    positions = range(0, 100, 2)
    mask = Longformer(seq_len=100, window_size=2, global_tokens=positions)
    assert mask.stats().intervals is None
    np.testing.assert_array_equal(mask.allowed(), window_and_global(100, 2, positions))


def test_neighbouring_global_tokens_are_one_interval():
    assert Longformer(seq_len=200, window_size=9, global_tokens=range(60)).stats().intervals == 2


def test_the_order_of_the_global_tokens_does_not_matter():
    mask = Longformer(seq_len=9, window_size=3, global_tokens=(5, 1, 5))
    assert mask == Longformer(seq_len=9, window_size=3, global_tokens=[1, 5])
    assert mask.global_tokens == (1, 5)


@pytest.mark.parametrize(
    ("global_tokens", "problem"),
    [
        ([9], "global_tokens must be below seq_len=9, got 9"),
        ([-1], "global_tokens must be a list of positions from 0"),
        ([True], "global_tokens must be a list of"),
        (["0"], "global_tokens must be a list of"),
        (3, "global_tokens must be a list of"),
    ],
)
def test_what_is_no_position_is_refused(global_tokens, problem):
    """By the class and by `create` alike."""
    for make in (Longformer, lambda **params: maskkit.create("longformer", kind="mask", **params)):
        with pytest.raises(maskkit.ConfigError, match=problem):
            make(seq_len=9, window_size=3, global_tokens=global_tokens)


def test_a_long_sequence_counts_without_a_dense_array():
    """n = 65,536: a row and a column for the first token, and 513 keys for the others, fewer at the two ends."""
    n, reach = 65_536, 256
    band = n * (2 * reach + 1) - reach * (reach + 1)
    beyond_the_band = 2 * (n - 1 - reach)
    assert Longformer(seq_len=n, window_size=512).stats().allowed == band + beyond_the_band
