"""Query padding: the contract, and the facts."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from maskkit_mask_query_padding import QueryPadding
import maskkit
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(QueryPadding)


def test_blocks_the_rows_of_padded_queries_and_no_other():
    expected = [[[q < length for _ in range(4)] for q in range(4)] for length in (0, 1, 4)]
    np.testing.assert_array_equal(QueryPadding(lengths=[0, 1, 4], seq_len=4), expected)


VALID = [[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, jnp.array, lambda x: np.array(x) == 1])
def test_valid_is_a_tokenizers_attention_mask(kind):
    mask = QueryPadding(valid=kind(VALID), k_len=3)
    expected = np.repeat(np.array(VALID, bool)[:, :, None], 3, axis=2)
    assert (mask.axes, mask.shape) == (("batch", "query", "key"), (4, 5, 3))
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(mask.allowed("torch"), expected)


def test_is_key_padding_with_queries_and_keys_exchanged():
    for params in (dict(lengths=[3, 7, 0], seq_len=7), dict(valid=VALID)):
        keys = maskkit.create("key_padding", q_len=4, **params).allowed()
        np.testing.assert_array_equal(QueryPadding(k_len=4, **params), keys.swapaxes(1, 2))


def test_beside_key_padding_it_is_padding():
    both = QueryPadding(valid=VALID) & maskkit.create("key_padding", valid=VALID)
    np.testing.assert_array_equal(both, maskkit.create("padding", valid=VALID))


def test_late_queries_may_see_more():
    """Causal up to cut[b], then everything: the padded queries of a mask are rows like any other."""
    cut = np.array([2, 5])
    early = QueryPadding(lengths=cut, seq_len=6)
    expected = np.tri(6, dtype=bool) | (np.arange(6)[:, None] >= cut[:, None, None])
    np.testing.assert_array_equal(maskkit.create("causal", seq_len=6) | ~early, expected)


def test_scattered_queries_have_one_interval_each():
    valid = np.random.default_rng(0).random((3, 200)) < 0.5
    assert QueryPadding(valid=valid).stats().intervals == 1


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({}, "query_padding takes either lengths or valid, got neither; lengths="),
        (dict(lengths=[1]), "seq_len required for query padding mask$"),
        (dict(lengths=[1, 5], seq_len=4), r"lengths must be in 0..seq_len \(0..4\), got 5 for sample 1$"),
        (dict(valid=[[1, 0]], seq_len=3), r"valid must have seq_len \(3\) tokens, got 2; leave seq_len out$"),
        (dict(valid=[[1, 3]]), "valid must be booleans, or integers 0 and 1, .*: 3 for token 1 of sample 0; of token"),
        (dict(valid=[[1, 0]], k_len=-1), "k_len must be positive, or None, got -1$"),
    ],
)
def test_refuses_what_does_not_say_which_queries_are_real(params, problem):
    with pytest.raises(maskkit.ConfigError, match=f"^{problem}"):
        QueryPadding(**params)
