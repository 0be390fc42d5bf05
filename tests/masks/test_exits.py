"""Every way out of a mask, run: by name, whatever axes it has and whatever their sizes happen to be."""

from itertools import product

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention
import maskkit

BATCH, HEADS, QUERIES, KEYS, WIDTH = 2, 2, 6, 5, 4  # as many samples as heads, so that one may be taken for the other
SUBSETS = [(), ("batch",), ("head",), ("batch", "head")]
SIZES = [(BATCH, HEADS), (1, HEADS), (BATCH, 1), (1, 1)]
CASES = [
    pytest.param(
        axes,
        sizes,
        structured,
        id=f"{'+'.join(axes) or 'none'}-{sizes[0]}x{sizes[1]}-{'spans' if structured else 'array'}",
    )
    for axes, sizes, structured in product(SUBSETS, SIZES, (False, True))
    if all(
        size == full or axis in axes for axis, size, full in zip(("batch", "head"), sizes, (BATCH, HEADS), strict=True)
    )
]


def drawn(axes, sizes, structured):
    """A mask with these axes before query and key, and its booleans with all four."""
    counts = [size for axis, size in zip(("batch", "head"), sizes, strict=True) if axis in axes]
    rng = np.random.default_rng(sum(counts) + len(axes))
    if structured:
        planes = [
            maskkit.create("sliding_window", seq_len=6, window_size=1 + int(rng.integers(3)))[:, :KEYS]
            for _ in range(4)
        ]
        mask = planes[0]
        for axis in reversed(axes):
            count = dict(zip(("batch", "head"), sizes, strict=True))[axis]
            other = planes[1 + ("batch", "head").index(axis)]
            mask = maskkit.stack([mask & other if i else mask for i in range(count)], axis=axis)
        mask = mask | maskkit.create("prefix_lm", seq_len=6, prefix_len=1)[:, :KEYS]  # no row is empty
        array = np.asarray(mask)
    else:
        array = rng.random((*counts, QUERIES, KEYS)) < 0.6
        array[..., 0] = True
        mask = maskkit.from_array(array, true="allowed", axes=(*axes, "query", "key"))
    assert mask.axes == (*axes, "query", "key")
    assert mask.shape == array.shape == (*counts, QUERIES, KEYS)
    return mask, array[tuple(slice(None) if axis in mask.axes else None for axis in ("batch", "head", "query", "key"))]


def inputs():
    """Query, key and value (batch, head, length, width), in float64."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(BATCH, HEADS, length, WIDTH)) for length in (QUERIES, KEYS, KEYS)]


def attention(allowed, query, key, value):
    """The definition, in float64; zeros where a row allows nothing."""
    scores = np.where(allowed, query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1]), -np.inf)
    weights = np.exp(scores - np.maximum(scores.max(-1, keepdims=True), -1e30))
    return weights / np.maximum(weights.sum(-1, keepdims=True), 1e-300) @ value


def torch_sdpa(mask, q, k, v):
    return scaled_dot_product_attention(*map(torch.tensor, (q, k, v)), attn_mask=mask)


def torch_sdpa_of_an_array(mask, q, k, v):
    return scaled_dot_product_attention(*map(torch.tensor, (q, k, v)), attn_mask=mask.allowed("torch", form="heads"))


def torch_flex(mask, q, k, v):
    return flex_attention(*map(torch.tensor, (q, k, v)), block_mask=mask.to_flex(block_size=4))


def torch_mask_mod(mask, q, k, v):
    block_mask = create_block_mask(mask.mask_mod(), BATCH, HEADS, QUERIES, KEYS, device="cpu", BLOCK_SIZE=4)
    return flex_attention(*map(torch.tensor, (q, k, v)), block_mask=block_mask)


def torch_multi_head(mask, q, k, v):
    """The layer, whose projections are the identity."""
    width = HEADS * WIDTH
    layer = torch.nn.MultiheadAttention(width, HEADS, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.eye(width).repeat(3, 1))
        layer.out_proj.weight.copy_(torch.eye(width))
    rows = [torch.tensor(x).transpose(1, 2).flatten(2) for x in (q, k, v)]
    blocked = (
        mask.blocked("torch", form="mha", heads=HEADS, batch=BATCH) if len(mask.axes) > 2 else mask.blocked("torch")
    )
    return layer(*rows, attn_mask=blocked)[0].detach().unflatten(2, (HEADS, WIDTH)).transpose(1, 2)


def jax_attention(mask, q, k, v):
    q, k, v = (jnp.asarray(x).swapaxes(1, 2) for x in (q, k, v))
    return jax.nn.dot_product_attention(q, k, v, mask=mask).swapaxes(1, 2)


def jax_attention_of_an_array(mask, q, k, v):
    return jax_attention(mask.allowed("jax", form="heads"), q, k, v)


def keras_attention(mask, q, k, v):
    q, k, v = (keras.ops.convert_to_tensor(x.swapaxes(1, 2)) for x in (q, k, v))
    out = keras.ops.dot_product_attention(q, k, v, mask=mask)
    return keras.ops.convert_to_numpy(out).swapaxes(1, 2)


def keras_attention_of_an_array(mask, q, k, v):
    return keras_attention(mask.allowed("keras", form="heads"), q, k, v)


def keras_layer(mask, q, k, v):
    """Keras' own layer, whose projections are the identity."""
    q, k, v = (x.swapaxes(1, 2).reshape(BATCH, -1, HEADS * WIDTH) for x in (q, k, v))
    layer = keras.layers.MultiHeadAttention(HEADS, WIDTH, use_bias=False, dtype="float64")
    layer.build(q.shape, v.shape, k.shape)
    one = np.eye(HEADS * WIDTH)
    layer.set_weights([one.reshape(-1, HEADS, WIDTH)] * 3 + [one.reshape(HEADS, WIDTH, -1)])
    array = mask.allowed("keras", form="heads") if "head" in mask.axes else mask
    out = layer(q, v, key=k, attention_mask=array)
    return keras.ops.convert_to_numpy(out).reshape(BATCH, -1, HEADS, WIDTH).swapaxes(1, 2)


EXITS = [
    torch_sdpa,
    torch_sdpa_of_an_array,
    torch_flex,
    torch_mask_mod,
    torch_multi_head,
    jax_attention,
    jax_attention_of_an_array,
    keras_attention,
    keras_attention_of_an_array,
    keras_layer,
]


@pytest.mark.parametrize(("axes", "sizes", "structured"), CASES)
@pytest.mark.parametrize("way", EXITS, ids=lambda way: way.__name__)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_attention_is_that_of_the_definition(way, axes, sizes, structured):
    mask, allowed = drawn(axes, sizes, structured)
    out = np.asarray(way(mask, *inputs()))
    np.testing.assert_allclose(out, attention(allowed, *inputs()), atol=2e-6)
