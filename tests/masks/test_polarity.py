"""How Torch's layers are given a mask; what True means to each library is in tests/test_polarity.py."""

import numpy as np
import pytest
import torch
import maskkit

MASK = maskkit.parse("causal & banded(band_width=5)", seq_len=6)
TOKENS = maskkit.PaddingMask(lengths=[6, 4], seq_len=6)


@pytest.fixture
def inputs():
    return torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))


def test_layers_of_torch_take_no_mask_itself(inputs):
    """They raise errors of their own, and compute nothing."""
    layer = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True)
    for call in (lambda: layer(inputs, src_mask=MASK), lambda: torch.as_tensor(MASK), lambda: torch.tensor(MASK)):
        with pytest.raises((TypeError, RuntimeError)):
            call()


def test_a_row_that_sees_nothing_is_uniform_under_a_finite_bias(inputs):
    """`nn.MultiheadAttention` makes it NaN under booleans; the word for it is in the docstring of `blocked`."""
    mask = TOKENS.keys() & maskkit.from_array(np.arange(6) > 0, true="allowed")
    layer = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
    booleans = mask.blocked("torch", form="mha", heads=2)
    assert booleans.shape == (4, 6, 6)
    assert layer(inputs, inputs, inputs, attn_mask=booleans)[0].isnan().any()
    bias = mask.bias("float32", "torch", finite=True, form="mha", heads=2)
    assert layer(inputs, inputs, inputs, attn_mask=bias)[0].isfinite().all()


def test_the_form_of_multihead_attention_asks_for_what_the_mask_does_not_say():
    heads = maskkit.stack([MASK, ~MASK])
    with pytest.raises(maskkit.ConfigError, match="along the axis 'batch'; give batch=N"):
        heads.blocked(form="mha", heads=2)
    with pytest.raises(maskkit.ConfigError, match="heads=3 differs from the 2 of"):
        heads.blocked(form="mha", heads=3, batch=1)
    with pytest.raises(maskkit.ConfigError, match="form must be None, 'heads' or 'mha', got 'sdpa'"):
        MASK.allowed(form="sdpa")
    with pytest.raises(maskkit.ConfigError, match="heads and batch are for form='mha'"):
        MASK.allowed(form="heads", heads=2)
    with pytest.raises(maskkit.ConfigError, match=r"is a mask of batch, token, not of queries and keys; mask.keys\(\)"):
        TOKENS.allowed(form="heads")
