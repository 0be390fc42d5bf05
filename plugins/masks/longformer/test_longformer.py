"""Longformer: the contract, and the facts."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from maskkit_mask_longformer import Longformer
import maskkit
from maskkit.testing import check_plugin


def window_and_global(seq_len, window_size, global_tokens):
    """The window around every token, and a whole row and a whole column for every global one."""
    seen, half = np.zeros((seq_len, seq_len), bool), (window_size - 1) // 2
    for token in range(seq_len):
        seen[token, max(0, token - half) : token + half + 1] = True
    seen[list(global_tokens)] = True
    seen[:, list(global_tokens)] = True
    return seen


def test_contract():
    check_plugin(Longformer)


@pytest.mark.parametrize(
    ("seq_len", "window_size", "global_tokens"),
    [(1, 1, [0]), (1, 9, []), (12, 5, [0]), (12, 1, [11, 3]), (15, 7, [2, 3, 4, 9]), (9, 51, [4]), (10, 3, range(10))],
)
def test_is_window_and_global_tokens(seq_len, window_size, global_tokens):
    mask = Longformer(seq_len=seq_len, window_size=window_size, global_tokens=global_tokens)
    np.testing.assert_array_equal(mask.allowed(), window_and_global(seq_len, window_size, global_tokens))


PER_SAMPLE = [[0, 1], [5, 0], [], range(8)]


def flags(per_sample, seq_len):
    table = np.zeros((len(per_sample), seq_len), bool)
    for row, positions in zip(table, per_sample, strict=True):
        row[list(positions)] = True
    return table


def test_every_sample_may_have_global_tokens_of_its_own():
    """As lists of positions, and as booleans of any library, which stay the caller's own."""
    expected = [window_and_global(8, 3, positions) for positions in PER_SAMPLE]
    table = flags(PER_SAMPLE, 8)
    for tokens in (PER_SAMPLE, table, table.tolist(), torch.from_numpy(table), jnp.asarray(table)):
        mask = Longformer(seq_len=8, window_size=3, global_tokens=tokens)
        assert mask.axes == ("batch", "query", "key")
        np.testing.assert_array_equal(mask, expected)
        np.testing.assert_array_equal(mask.allowed("torch"), expected)
    tensor = torch.from_numpy(table)
    assert Longformer(seq_len=8, window_size=3, global_tokens=tensor).global_tokens is tensor


def test_the_same_tokens_for_all_make_a_mask_without_a_batch():
    mask = Longformer(seq_len=8, window_size=3, global_tokens=[0])
    assert (mask.axes, mask.shape) == (("query", "key"), (8, 8))
    one = Longformer(seq_len=8, window_size=3, global_tokens=[[0]])
    assert one.shape == (1, 8, 8)
    np.testing.assert_array_equal(one[0], mask)


def test_scattered_tokens_of_samples_have_too_many_intervals_too(monkeypatch):
    table = np.random.default_rng(0).random((2, 150)) < 0.5
    mask = Longformer(seq_len=150, window_size=3, global_tokens=table)
    spans = mask.allowed()
    monkeypatch.setattr(maskkit.limits, "few_intervals", 0)
    assert mask.stats().intervals is None
    np.testing.assert_array_equal(mask.allowed(), spans)
    expected = [window_and_global(150, 3, np.flatnonzero(row)) for row in table]
    np.testing.assert_array_equal(spans, expected)


@pytest.mark.parametrize("window_size", [2, 512])
def test_an_even_window_is_refused_with_both_neighbours(window_size):
    """Those who come from the paper, which does not count the query, are told their number."""
    below, above = window_size - 1, window_size + 1
    expected = rf"got {window_size}; .*: {below} or {above}, where half of {window_size} lies on each side of it$"
    with pytest.raises(maskkit.ConfigError, match=expected):
        Longformer(seq_len=9, window_size=window_size)


def test_more_scattered_tokens_than_intervals(monkeypatch):
    """With too many global tokens apart for spans, the predicate answers, and says the same."""
    monkeypatch.setattr(maskkit.limits, "few_intervals", 0)
    positions = range(0, 100, 2)
    mask = Longformer(seq_len=100, window_size=3, global_tokens=positions)
    assert mask.stats().intervals is None
    np.testing.assert_array_equal(mask.allowed(), window_and_global(100, 3, positions))


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
        ([[0], 1], "global_tokens must be a list of"),
        ([[0], [-1]], "global_tokens must be a list of"),
        ([[0], ["1"]], "global_tokens must be a list of"),
        ([[True, False], [True]], "global_tokens must be a list of"),
        (np.zeros((2, 9)), "global_tokens must be a list of"),
        (np.zeros(9, bool), "global_tokens must be a list of"),
        (np.zeros((2, 8), bool), r"global_tokens must have shape \(batch, seq_len=9\), got \(2, 8\)"),
        ([[True, False]], r"global_tokens must have shape \(batch, seq_len=9\), got \(1, 2\)"),
        ([[0, 8], [9, 1]], "global_tokens must be below seq_len=9, got 9 for sample 1"),
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
    assert Longformer(seq_len=n, window_size=513).stats().allowed == band + beyond_the_band
