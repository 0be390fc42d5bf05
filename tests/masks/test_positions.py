"""Masks at other positions, transposed, and masks of tokens said of queries and keys."""

import numpy as np
import pytest
import torch
import maskkit
from maskkit.masks.rows import spans_of
from maskkit.testing import check_mask

N = 8
EXPRESSIONS = [
    "causal",
    "chunked(chunk_size=3)",
    "sink(window_size=2, num_sinks=1)",
    "prefix_lm(prefix_len=3)",
    "block_causal(block_size=3)",
    "longformer(window_size=3, global_tokens=[0, 4])",
    "document(lengths=[3, 5]) & ~banded(band_width=1)",
    "random(seed=1)",
]
ROWS = {
    "left padding": [[-1, -1, -1, 0, 1, 2], [-1, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5]],
    "texts that start again": [[0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 4, 0], [0, 0, 0, 0, 0, 0]],
    "pages": [[4, 5, 0, 1, 2, 3], [2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2]],
}


def asked(dense, query, key):
    """Pair by pair, from the definition."""
    out = np.zeros((len(query), len(query[0]), len(key[0])), bool)
    for b, i, j in np.ndindex(*out.shape):
        q, k = query[b][i], key[b][j]
        out[b, i, j] = q >= 0 and k >= 0 and dense[q, k]
    return out


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_positions_are_those_of_the_text(expression, rows):
    mask = maskkit.parse(expression, seq_len=N)
    at = mask.at(query=rows, key=rows)
    assert at.axes == ("batch", "query", "key")
    np.testing.assert_array_equal(at, asked(np.asarray(mask), rows, rows))
    np.testing.assert_array_equal(mask.at(query=rows[0], key=rows[0]), np.asarray(at)[0])


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("expression", ["causal", "sink(window_size=2, num_sinks=1)", "random(seed=1)"])
def test_a_mask_at_positions_keeps_the_contract(expression, rows):
    mask = maskkit.parse(expression, seq_len=N)
    for at in (mask.at(query=rows), mask.at(key=rows[1]), mask.at(query=rows[2], key=rows)):
        check_mask(at, backends=["torch"])


def test_positions_that_run_on_have_spans():
    """Left padding of a long text costs its rows."""
    n = 20_000
    position = np.arange(n) - 1000
    position[position < 0] = -1
    at = maskkit.create("sliding_window", seq_len=n, window_size=100).at(query=position, key=position)
    stats = at.stats()
    assert stats.intervals == 1
    assert stats.blocked_rows == 1000
    assert stats.allowed == sum(min(i + 1, 100) for i in range(n - 1000))


def test_positions_may_be_on_a_device_or_traced():
    mask, rows = maskkit.create("chunked", seq_len=N, chunk_size=3), torch.tensor(ROWS["left padding"])
    expected = np.asarray(mask.at(query=rows.numpy(), key=rows.numpy()))
    here = mask.at(query=rows, key=rows)
    np.testing.assert_array_equal(here.allowed("torch"), expected)
    elsewhere = mask.at(query=rows.to("meta"), key=rows.to("meta")).allowed("torch", device="meta")
    assert elsewhere.shape == expected.shape


def test_bad_positions_are_refused():
    mask = maskkit.create("causal", seq_len=N)
    padding = maskkit.create("key_padding", lengths=[3, 5], seq_len=N)
    with pytest.raises(maskkit.ConfigError, match=r"key positions must be less than the 8 of Causal.*, got 8; make it"):
        mask.at(key=[0, 8])
    with pytest.raises(maskkit.ConfigError, match="query positions of a batch of 3 do not fit a batch of 2"):
        padding.at(query=[[0]] * 3)
    with pytest.raises(maskkit.ConfigError, match="query must be an integer array with 1 or 2 axes"):
        mask.at(query=[0.5])
    assert mask.at() is mask


@pytest.mark.parametrize("expression", [*EXPRESSIONS, "causal & key_padding(lengths=[3, 5])", "strided(stride=3)"])
def test_a_transposed_mask_exchanges_queries_and_keys(expression):
    mask = maskkit.parse(expression, seq_len=N)[..., 2:, :]
    np.testing.assert_array_equal(mask.T, np.asarray(mask).swapaxes(-1, -2))
    assert mask == mask.T.T
    check_mask(mask.T, backends=["torch"])


def test_a_transposed_window_has_spans():
    """They follow from the predicate, as the mask's own."""
    mask = maskkit.create("sliding_window", seq_len=100, window_size=7).T
    spans = spans_of(mask, (), np.arange(100))
    assert len(spans) == 1
    assert mask.period == 1
    assert spans.row(10) == [(10, 17)]


TOKENS = maskkit.PaddingMask(lengths=[5, 0, 3], seq_len=5)


def test_tokens_said_of_keys_and_of_queries():
    real = np.asarray(TOKENS)
    np.testing.assert_array_equal(TOKENS.keys(q_len=2), np.broadcast_to(real[:, None], (3, 2, 5)))
    np.testing.assert_array_equal(TOKENS.queries(k_len=4), np.broadcast_to(real[:, :, None], (3, 5, 4)))
    assert TOKENS.keys().shape == (3, 5, 5)
    both = TOKENS.keys() & maskkit.create("causal", seq_len=5)
    np.testing.assert_array_equal(both, np.tri(5, dtype=bool) & real[:, None])
    for mask in (TOKENS.keys(2), TOKENS.queries(4), both, TOKENS[:1].keys()):
        check_mask(mask, backends=["torch"])


def test_only_tokens_are_said_of_keys():
    with pytest.raises(maskkit.ConfigError, match="is a mask of query, key; only one of tokens can be said of keys"):
        maskkit.create("causal", seq_len=3).keys()
    with pytest.raises(maskkit.ConfigError, match="q_len must be positive, got 0"):
        TOKENS.keys(0)
