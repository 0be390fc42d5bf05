"""Which functions of other libraries take a mask as it is, and which need `.allowed(...)` or `.blocked(...)`.

README's table says the same, and tests/test_polarity.py runs its rows.
"""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import maskkit

T = 9


@pytest.fixture(params=["causal", "causal & ~banded(band_width=3)", "random(seed=4, mask_probability=0.4)"])
def mask(request):
    return maskkit.parse(request.param, seq_len=T)


@pytest.fixture
def padding():
    return maskkit.create("padding", padding_mask=[[False] * T, [False] * 5 + [True] * (T - 5)])


def softmax_attention(q, k, v, allowed):
    """Masked attention in NumPy, float64; rows that allow nothing give zeros."""
    scores = np.einsum("bhqd,bhkd->bhqk", q, k) / np.sqrt(q.shape[-1])
    weights = np.where(allowed, np.exp(scores - scores.max(-1, keepdims=True)), 0)
    total = weights.sum(-1, keepdims=True)
    return np.einsum("bhqk,bhkd->bhqd", weights / np.where(total > 0, total, 1), v)


@pytest.fixture(scope="module")
def qkv():
    return np.random.default_rng(0).normal(size=(3, 2, 4, T, 8))


# -- torch ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["keyword", "positional"])
def test_torch_sdpa_takes_a_mask(mask, qkv, spelling):
    q, k, v = torch.from_numpy(qkv)
    sdpa = torch.nn.functional.scaled_dot_product_attention
    out = sdpa(q, k, v, attn_mask=mask) if spelling == "keyword" else sdpa(q, k, v, mask)
    np.testing.assert_allclose(out, softmax_attention(*qkv, np.asarray(mask)), atol=1e-12)


def test_torch_sdpa_takes_a_batch_of_masks(mask, padding, qkv):
    """(batch, query, key) means a mask per sample, the same for all heads."""
    q, k, v = torch.from_numpy(qkv)
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask & padding)
    np.testing.assert_allclose(out, softmax_attention(*qkv, np.asarray(mask & padding)[:, None]), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_torch_sdpa_gives_zeros_for_rows_that_allow_nothing(padding, qkv, dtype):
    q, k, v = (torch.from_numpy(x).to(dtype).requires_grad_() for x in qkv)
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=padding)
    assert (out[1, :, 5:] == 0).all()
    out.sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in (q, k, v))


def test_torch_compile_takes_a_mask(mask, qkv):
    """The mask is a constant of one whole graph."""
    q, k, v = torch.from_numpy(qkv)

    def attend(q, k, v):
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    out = torch.compile(attend, backend="eager", fullgraph=True)(q, k, v)
    np.testing.assert_allclose(out, softmax_attention(*qkv, np.asarray(mask)), atol=1e-12)


def test_torch_compile_takes_its_booleans(mask):
    """Of masks in whose rows q - k alone decides too; not in one graph, for NumPy makes them."""
    torch._dynamo.reset()
    out = torch.compile(lambda x: x * mask.allowed("torch"), backend="eager")(torch.ones(T, T))
    np.testing.assert_array_equal(out, np.asarray(mask))


def test_other_torch_functions_refuse_a_mask_and_say_why(mask):
    zeros = torch.zeros(T, T)
    for call in (torch.logical_not, lambda m: zeros.masked_fill(m, 1.0), lambda m: torch.where(m, zeros, zeros)):
        with pytest.raises(TypeError, match=r'mask\.allowed\("torch"\) or mask\.blocked\("torch"\)'):
            call(mask)


def test_multihead_attention_of_torch_needs_blocked(mask, qkv):
    """Its True means blocked; with `.blocked` it equals our own attention on its projections."""
    torch.manual_seed(0)
    layer = torch.nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    x = torch.from_numpy(qkv[0, :, 0])
    with pytest.raises((TypeError, AttributeError, AssertionError)):
        layer(x, x, x, attn_mask=mask, need_weights=False)
    seen = mask.stats().blocked_rows
    _, weights = layer(x, x, x, attn_mask=mask.blocked("torch"), need_weights=True)
    rows = np.asarray(mask).any(-1)
    assert rows.sum() == T - seen
    assert (weights.detach().numpy()[:, rows][:, :, :] > 0).astype(bool)[0].tolist() == np.asarray(mask)[rows].tolist()


# -- jax --------------------------------------------------------------------------------------------------------------


def test_jax_dot_product_attention_takes_a_mask(mask, qkv):
    """Eagerly as it is; rows that allow nothing are the mean of V there, so they are left out of the comparison."""
    q, k, v = (jnp.asarray(x.transpose(0, 2, 1, 3), jnp.float32) for x in qkv)
    out = np.asarray(jax.nn.dot_product_attention(q, k, v, mask=mask.allowed("jax")[None, None])).transpose(0, 2, 1, 3)
    expected = softmax_attention(*qkv, np.asarray(mask))
    rows = np.asarray(mask).any(-1)
    np.testing.assert_allclose(out[:, :, rows], expected[:, :, rows], atol=1e-5)


def test_jax_numpy_takes_a_mask(mask):
    np.testing.assert_array_equal(jnp.asarray(mask), np.asarray(mask))
    np.testing.assert_array_equal(jnp.logical_not(jnp.asarray(mask)), ~np.asarray(mask))


def test_under_jit_a_mask_is_a_constant(mask):
    np.testing.assert_array_equal(jax.jit(lambda x: x * mask.allowed("jax"))(jnp.ones((T, T))), np.asarray(mask))


def test_under_jit_array_fields_may_be_traced():
    """The padding is an argument of the compiled function: nothing is read from it, and the mask follows it."""

    @jax.jit
    def allowed(padding_mask):
        return (maskkit.create("padding", padding_mask=padding_mask) & maskkit.create("causal", seq_len=4)).allowed(
            "jax"
        )

    for row in ([False, False, True, True], [True, False, False, False]):
        padding = np.array([row])
        expected = np.tril(np.ones((4, 4), bool)) & ~padding[:, :, None] & ~padding[:, None, :]
        np.testing.assert_array_equal(allowed(jnp.asarray(padding)), expected)


def test_array_fields_stay_where_they_are():
    """A tensor on another device is not copied to the host; the mask is evaluated there."""
    padding = torch.zeros((2, 4), dtype=torch.bool, device="meta")
    mask = maskkit.create("padding", padding_mask=padding)
    assert mask.padding_mask is padding
    assert mask.allowed("torch", device="meta").shape == (2, 4, 4)
    assert mask == maskkit.create("padding", padding_mask=padding)
    assert mask != maskkit.create("padding", padding_mask=padding.clone())


# -- keras ------------------------------------------------------------------------------------------------------------

KERAS = """
import keras, maskkit, numpy as np
from keras import ops
x = np.random.default_rng(0).normal(size=(2, 9, 8)).astype("float32")
layer = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)
layer(x, x)
padding = maskkit.create("padding", padding_mask=[[False] * 9, [False] * 5 + [True] * 4])
causal = maskkit.create("causal", seq_len=9)
noise = maskkit.create("random", seq_len=9, seed=4, mask_probability=0.4)
for mask in (causal, noise, padding | maskkit.from_array(np.eye(9, dtype=bool), true="allowed")):
    bits = np.asarray(mask)
    direct = ops.convert_to_numpy(layer(x, x, attention_mask=mask))
    for same in (bits, mask.allowed("keras"), mask.allowed(keras.backend.backend())):
        assert np.array_equal(direct, ops.convert_to_numpy(layer(x, x, attention_mask=same)))
    assert np.array_equal(ops.convert_to_numpy(ops.convert_to_tensor(mask)), bits)
    assert np.array_equal(ops.convert_to_numpy(mask.allowed("keras")), bits)
by_hand = layer(x, x, use_causal_mask=True)
assert np.allclose(ops.convert_to_numpy(layer(x, x, attention_mask=causal)), ops.convert_to_numpy(by_hand), atol=1e-6)
inputs = keras.Input((9, 8))
model = keras.Model(inputs, layer(inputs, inputs, attention_mask=causal))
assert np.allclose(ops.convert_to_numpy(model(x)), ops.convert_to_numpy(layer(x, x, attention_mask=causal)), atol=1e-6)
print("same bits on", keras.backend.backend())
"""


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_keras_layers_take_a_mask(backend):
    """MultiHeadAttention, eager and in a functional model, gives for a mask what it gives for the same booleans."""
    env = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run([sys.executable, "-c", KERAS], capture_output=True, text=True, env=env, check=False)
    assert done.stdout == f"same bits on {backend}\n", done.stderr


# -- numpy ------------------------------------------------------------------------------------------------------------


def test_numpy_functions_take_a_mask(mask):
    scores = np.zeros((T, T))
    np.testing.assert_array_equal(np.where(mask, 1.0, -1.0), np.where(np.asarray(mask), 1.0, -1.0))
    assert np.asarray(mask).sum() == np.count_nonzero(mask)
    np.testing.assert_array_equal(np.ma.masked_array(scores, mask=mask.blocked()).mask, ~np.asarray(mask))
