"""What each library's True means, in the rows of docs/frameworks.md that other tests do not run."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaModel
import maskkit

MASK = maskkit.parse("causal & banded(band_width=5)", seq_len=6)
TOKENS = maskkit.PaddingMask(lengths=[6, 4], seq_len=6)


@pytest.fixture
def inputs():
    return torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))


def reaches(layer, x):
    """Which tokens each output depends on, (batch, output, input), by what a change of one moves."""
    before = layer(x)
    found = []
    for token in range(x.shape[1]):
        other = x.clone()
        other[:, token] += torch.linspace(-1, 2, x.shape[2]) ** 2  # no constant, which a layer norm takes away
        found.append((layer(other) - before).abs().amax(-1) > 1e-7)
    return torch.stack(found, -1).numpy()


def test_multihead_attention_reads_padding_as_blocked(inputs):
    layer = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
    padding = TOKENS.blocked("torch")
    seen = reaches(lambda x: layer(x, x, x, key_padding_mask=padding, need_weights=False)[0].detach(), inputs)
    keys = np.asarray(TOKENS)[:, None] | np.eye(6, dtype=bool)  # a query is an input of its own row
    np.testing.assert_array_equal(seen, np.broadcast_to(keys, seen.shape))


def test_transformer_encoder_layer_reads_both_as_blocked(inputs):
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).train()
    layer.apply(lambda module: setattr(module, "p", 0.0) if isinstance(module, torch.nn.Dropout) else None)
    layer.self_attn.dropout = 0.0
    options = {"src_mask": MASK.blocked("torch"), "src_key_padding_mask": TOKENS.blocked("torch")}
    seen = reaches(lambda x: layer(x, **options).detach(), inputs)
    allowed = np.asarray(MASK & TOKENS.keys()) | np.eye(6, dtype=bool)
    np.testing.assert_array_equal(seen, allowed)


def test_transformer_decoder_layer_reads_memory_as_blocked(inputs):
    layer = torch.nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0, batch_first=True).eval()
    blocked = MASK.blocked("torch")
    seen = reaches(lambda memory: layer(inputs, memory, memory_mask=blocked).detach(), inputs)
    np.testing.assert_array_equal(seen, np.broadcast_to(np.asarray(MASK), seen.shape))


def test_layers_of_torch_take_no_mask_itself(inputs):
    """They raise errors of their own, and compute nothing."""
    layer = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True)
    for call in (lambda: layer(inputs, src_mask=MASK), lambda: torch.as_tensor(MASK), lambda: torch.tensor(MASK)):
        with pytest.raises((TypeError, RuntimeError)):
            call()


@pytest.fixture(scope="module")
def model():
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    torch.manual_seed(0)
    return LlamaModel(config).eval()


def test_transformers_read_ones_of_two_axes_as_real(model, inputs):
    x = inputs.repeat(1, 1, 2)
    mask = TOKENS.allowed("torch", "int64")
    seen = reaches(lambda x: model(inputs_embeds=x, attention_mask=mask).last_hidden_state.detach(), x)
    expected = np.asarray(maskkit.create("causal", seq_len=6) & TOKENS.keys()) | np.eye(6, dtype=bool)
    np.testing.assert_array_equal(seen[:, :4], expected[:, :4])


def test_transformers_add_four_axes_to_the_scores(model, inputs):
    x = inputs.repeat(1, 1, 2)
    bias = MASK.bias("float32", "torch", finite=True, form="heads")
    seen = reaches(lambda x: model(inputs_embeds=x, attention_mask=bias).last_hidden_state.detach(), x)
    np.testing.assert_array_equal(seen, np.broadcast_to(np.asarray(MASK), seen.shape))


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
