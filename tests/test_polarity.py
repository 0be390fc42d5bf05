"""README's table says what True means to each library: its last column, given to the call, lets through what it should.

Which keys a query sees is read off the values: those of a call are one-hot, or one token of the input is changed.
"""

import re
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention
import maskkit

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
TABLE = README.partition("<!-- polarity -->")[2].partition("<!-- /polarity -->")[0]
ROWS = [tuple(cell.strip() for cell in line.strip("|\n").split(" | ")) for line in TABLE.strip().splitlines()[2:]]
T = 6
MASK = maskkit.parse("causal & banded(band_width=5)", seq_len=T)
TOKENS = maskkit.PaddingMask(lengths=[6, 4], seq_len=T)
ITSELF = np.eye(T, dtype=bool)
"""A query is an input of its own row, by the residual connection or as the query."""


def qkv(order="bhtd"):
    """Queries and keys at random, and one-hot values, so that what comes out are the weights; two samples."""
    q, k = np.random.default_rng(0).normal(size=(2, 2, 1, T, T)).astype("float32")
    arrays = q, k, np.broadcast_to(np.eye(T, dtype="float32"), q.shape)
    return [np.ascontiguousarray(a.transpose(0, 2, 1, 3)) if order == "bthd" else np.array(a) for a in arrays]


def weights(out, order="bhtd"):
    """Where they are not zero, (query, key) of the first sample."""
    out = np.asarray(out)
    return (out[0, :, 0] if order == "bthd" else out[0, 0]) > 0


def moved(layer, width=8, library=torch):
    """Which tokens each output depends on, (batch, output, input), by what a change of one moves."""
    x = np.random.default_rng(0).normal(size=(2, T, width)).astype("float32")

    def call(x):
        out = layer(torch.from_numpy(x) if library is torch else x)
        return out.detach().numpy() if library is torch else keras.ops.convert_to_numpy(out)

    before, found = call(x), []
    for token in range(T):
        other = x.copy()
        other[:, token] += np.linspace(-1, 2, width, dtype="float32") ** 2  # no constant: a norm takes it away
        found.append(np.abs(call(other) - before).max(-1) > 1e-7)
    return np.stack(found, -1)


def sdpa(given):
    return weights(torch.nn.functional.scaled_dot_product_attention(*map(torch.from_numpy, qkv()), attn_mask=given))


def flex(given):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "flex_attention called without torch.compile")
        return weights(flex_attention(*map(torch.from_numpy, qkv()), block_mask=given))


def multihead(name):
    layer = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
    return lambda given: moved(lambda x: layer(x, x, x, need_weights=False, **{name: given})[0])


def encoder(name):
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    return lambda given: moved(lambda x: layer(x, **{name: given}))


def decoder(given):
    layer = torch.nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0, batch_first=True).eval()
    target = torch.randn(2, T, 8, generator=torch.Generator().manual_seed(0))
    return moved(lambda memory: layer(target, memory, memory_mask=given))


def masked_fill(given):
    return torch.zeros(T, T).masked_fill(given, -torch.inf).softmax(-1).numpy() > 0


def timm_attention(given):
    Attention = pytest.importorskip("timm.layers", exc_type=ImportError).Attention

    layer = Attention(8, 2)
    return moved(lambda x: layer(x, attn_mask=given))


def llama(given):
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    model = LlamaModel(config).eval()
    return moved(lambda x: model(inputs_embeds=x, attention_mask=given).last_hidden_state, width=16)


def jax_attention(given):
    q, k, v = map(jnp.asarray, qkv("bthd"))
    return weights(jax.nn.dot_product_attention(q, k, v, mask=given), "bthd")


def splash(given):
    return np.asarray(given[:, :])


def keras_attention(given):
    layer = keras.layers.MultiHeadAttention(2, 4)
    return moved(lambda x: layer(x, x, attention_mask=given), library=keras)


def keras_ops(given):
    q, k, v = map(keras.ops.convert_to_tensor, qkv("bthd"))
    return weights(keras.ops.convert_to_numpy(keras.ops.dot_product_attention(q, k, v, mask=given)), "bthd")


def masked_array(given):
    return ~np.ma.masked_array(np.zeros((T, T)), mask=given).mask


ALL, KEYS = np.asarray(MASK), np.asarray(TOKENS)[:, None] & np.ones((T, 1), bool)
CAUSAL_KEYS = np.asarray(maskkit.create("causal", seq_len=T)) & KEYS
REAL = np.s_[:, :4]  # what padded queries give is nobody's affair
CALLS = {
    "scaled_dot_product_attention(attn_mask=)": (sdpa, ALL),
    "flex_attention(block_mask=)": (flex, ALL),
    "nn.MultiheadAttention(attn_mask=)": (multihead("attn_mask"), ALL),
    "nn.MultiheadAttention(key_padding_mask=)": (multihead("key_padding_mask"), KEYS | ITSELF),
    "nn.TransformerEncoderLayer(src_mask=)": (encoder("src_mask"), ALL),
    "nn.TransformerEncoderLayer(src_key_padding_mask=)": (encoder("src_key_padding_mask"), KEYS | ITSELF),
    "nn.TransformerDecoderLayer(memory_mask=)": (decoder, ALL),
    "Tensor.masked_fill(mask=) of scores": (masked_fill, ALL),
    "Attention(attn_mask=)": (timm_attention, ALL),
    "attention_mask= of two axes": (lambda given: llama(given)[REAL], CAUSAL_KEYS[REAL]),
    "attention_mask= of four axes": (llama, ALL),
    "jax.nn.dot_product_attention(mask=)": (jax_attention, ALL),
    "splash attention": (splash, ALL),
    "MultiHeadAttention(attention_mask=)": (keras_attention, ALL),
    "ops.dot_product_attention(mask=)": (keras_ops, ALL),
    "ma.masked_array(mask=) of scores": (masked_array, ALL),
}
"""What is called, and which keys each query should see. Rows of libraries that are not installed here have no call."""


def test_every_row_is_run_and_there_are_many():
    assert {argument.replace("`", "") for _, argument, _, _ in ROWS} == set(CALLS)
    assert len(ROWS) >= 14


@pytest.mark.parametrize("row", ROWS, ids=lambda row: re.sub(r"\W+", " ", row[0] + " " + row[1]).strip())
def test_a_row_of_the_table_is_true(row):
    """What stands in its last column, evaluated and given to the call, means the mask."""
    call, expected = CALLS[row[1].replace("`", "")]
    given = eval(row[3].strip("`"), {"mask": MASK, "tokens": TOKENS})
    found = call(given)
    np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))


@pytest.mark.parametrize("row", [row for row in ROWS if row[2] in ("attend", "blocked")], ids=lambda row: row[1])
def test_the_third_column_is_what_the_last_one_gives(row):
    """True where allowed for *attend*, where blocked for *blocked*; objects say it by themselves."""
    given = eval(row[3].strip("`"), {"mask": MASK, "tokens": TOKENS})
    if "to_flex" in row[3] or "splash" in row[3]:
        return
    meant = TOKENS if "tokens" in row[3] else MASK
    array = np.asarray(given).reshape(np.shape(meant))
    np.testing.assert_array_equal(array, np.asarray(meant) == (row[2] == "attend"))
