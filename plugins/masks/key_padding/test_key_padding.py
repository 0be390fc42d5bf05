"""Key padding: the contract, and the facts."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from maskkit_mask_key_padding import KeyPadding
import maskkit
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(KeyPadding)


def test_blocks_padded_keys_for_every_query():
    expected = [[[k < length for k in range(4)] for _ in range(4)] for length in (0, 1, 4)]
    np.testing.assert_array_equal(KeyPadding(lengths=[0, 1, 4], seq_len=4).allowed(), expected)


def test_is_what_torch_calls_a_key_padding_mask():
    """`nn.MultiheadAttention` gives the same with its own argument and with the mask, which is per head there."""
    torch.manual_seed(0)
    layer = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(3, 6, 8)
    lengths = torch.tensor([6, 2, 5])
    blocked = KeyPadding(lengths=lengths, seq_len=6).blocked("torch").repeat_interleave(2, dim=0)
    ours = layer(x, x, x, attn_mask=blocked)[0]
    theirs = layer(x, x, x, key_padding_mask=torch.arange(6) >= lengths[:, None])[0]
    torch.testing.assert_close(ours, theirs)


VALID = [[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0]]


def test_valid_is_a_tokenizers_attention_mask():
    """Integers or booleans, 1 is real, on whichever side and however scattered the padding is."""
    expected = np.repeat(np.array(VALID, bool)[:, None], 5, axis=1)
    table = np.array(VALID)
    for valid in (VALID, table, table.astype(bool), table.astype(np.uint8), torch.tensor(VALID), jnp.array(VALID)):
        mask = KeyPadding(valid=valid)
        assert mask.axes == ("batch", "query", "key")
        np.testing.assert_array_equal(mask, expected)
        np.testing.assert_array_equal(mask.allowed("torch"), expected)
    np.testing.assert_array_equal(KeyPadding(valid=torch.tensor(VALID)).allowed("torch"), expected)
    tensor = torch.tensor(VALID)
    assert KeyPadding(valid=tensor).valid is tensor


def test_queries_may_differ_in_number_from_keys():
    """Cross attention: 9 queries on 7 padded keys; one query of a decoder with a cache."""
    for mask in (KeyPadding(lengths=[7, 2], seq_len=7, q_len=9), KeyPadding(valid=np.tri(2, 7, 3) == 1, q_len=1)):
        keys = np.asarray(mask)[:, 0]
        assert mask.shape == (2, mask.q_len, 7)
        np.testing.assert_array_equal(mask, np.repeat(keys[:, None], mask.q_len, axis=1))
    assert np.asarray(KeyPadding(lengths=[7, 2], seq_len=7, q_len=9)).sum(axis=(1, 2)).tolist() == [63, 18]


def test_scattered_padding_has_no_spans(monkeypatch):
    monkeypatch.setattr(maskkit.limits, "few_intervals", 0)
    valid = np.random.default_rng(0).random((3, 200)) < 0.5
    mask = KeyPadding(valid=valid)
    assert mask.stats().intervals is None
    np.testing.assert_array_equal(mask, np.repeat(valid[:, None], 200, axis=1))


@pytest.mark.parametrize(
    ("valid", "problem"),
    [
        ([[1, 2, 0]], r"int64: 2 for token 1 of sample 0; of token ids write ids != pad_token_id"),
        ([[1, 0], [0, -1]], r"int64: -1 for token 1 of sample 1; of token ids write ids != pad_token_id"),
        ([[1.0, 0.0]], r"float64; write valid == 1 for it"),
        ([1, 0], r"int64; give a row for each sample: valid\[None\] for one"),
        ([[[1]]], "int64"),
        (np.zeros((0, 4), bool), "bool; no axis may be empty"),
        ("110", "'110'"),
    ],
)
def test_what_does_not_say_which_tokens_are_real_is_refused_with_the_way_out(valid, problem):
    expected = rf"^valid must be booleans, or integers 0 and 1, \(batch, tokens\), or None, got .*{problem}$"
    for make in (KeyPadding, lambda **params: maskkit.create("key_padding", **params)):
        with pytest.raises(maskkit.ConfigError, match=expected):
            make(valid=valid)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({}, "key_padding takes either lengths or valid, got neither; lengths="),
        (dict(lengths=[1], valid=[[1, 0]], seq_len=2), "key_padding takes either lengths or valid, got both; lengths="),
        (dict(lengths=[1]), "seq_len required for key padding mask$"),
        (dict(valid=[[1, 0]], seq_len=3), r"valid must have seq_len \(3\) tokens, got 2; leave seq_len out$"),
        (dict(valid=[[1, 0]], q_len=0), "q_len must be positive, or None, got 0$"),
    ],
)
def test_takes_lengths_or_flags(params, problem):
    with pytest.raises(maskkit.ConfigError, match=f"^{problem}"):
        KeyPadding(**params)


def test_the_shared_length_of_an_expression_may_repeat_the_number_of_flags():
    mask = maskkit.parse("causal & key_padding(valid=[[1, 1, 0]])", seq_len=3)
    np.testing.assert_array_equal(mask[0], np.tri(3, dtype=bool) & np.array([1, 1, 0], bool))


def test_only_an_empty_sample_has_blocked_rows():
    assert KeyPadding(lengths=[1, 3], seq_len=8).stats().blocked_rows == 0
    assert KeyPadding(lengths=[1, 0], seq_len=8).stats().blocked_rows == 8


def test_unsigned_bytes_are_lengths_too():
    """On every way to the bits."""
    for lengths in (np.array([200, 3], np.uint8), torch.tensor([200, 3], dtype=torch.uint8)):
        mask = KeyPadding(lengths=lengths, seq_len=300)
        assert mask.stats().allowed == 300 * 203
        assert int(mask.allows(0, 0, np.arange(300)).sum()) == 200


@pytest.mark.parametrize(("lengths", "sample"), [([3, 9], 1), ([-1, 3], 0)])
def test_refuses_lengths_beyond_the_sequence(lengths, sample):
    expected = rf"^lengths must be in 0..seq_len \(0..8\), got {lengths[sample]} for sample {sample}$"
    with pytest.raises(maskkit.ConfigError, match=expected):
        KeyPadding(lengths=lengths, seq_len=8)


@pytest.mark.parametrize("bad", [5, [2.0, 3.0], [[1, 2]], [True, False]])
def test_refuses_what_are_no_lengths(bad):
    with pytest.raises(maskkit.ConfigError, match=r"^lengths must be an integer array with 1 axis, or None, got"):
        KeyPadding(lengths=bad, seq_len=8)
