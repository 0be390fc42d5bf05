"""Key padding: the contract, and the facts."""

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
    with pytest.raises(maskkit.ConfigError, match=r"^lengths must be an integer array with 1 axis, got"):
        KeyPadding(lengths=bad, seq_len=8)
