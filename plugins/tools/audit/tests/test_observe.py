"""`observed`: what an attention function allows, of every library, and what is no attention."""

import jax
import keras
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maskkit import ConfigError
from maskkit_audit import observed

sdpa = torch.nn.functional.scaled_dot_product_attention


def softmax(scores):
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def numpy_attention(allowed):
    """The definition, in NumPy."""
    return lambda q, k, v: softmax(np.where(allowed, q @ k.swapaxes(-1, -2), -1e30)) @ v


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 9), st.integers(1, 9), st.sampled_from(["torch", "numpy", "jax"]))
def test_any_mask_comes_back(seed, queries, keys, library):
    """In every library, for lengths that differ and are no multiple of the block."""
    allowed = np.random.default_rng(seed).random((queries, keys)) < 0.5
    allowed[:, 0] = True
    function = {
        "torch": lambda q, k, v: sdpa(q, k, v, attn_mask=torch.tensor(allowed)),
        "numpy": numpy_attention(allowed),
        "jax": lambda q, k, v: jax.nn.dot_product_attention(q, k, v, mask=allowed[None, None]),
    }[library]
    layout = "bqhd" if library == "jax" else "bhqd"
    found = observed(function, (queries, keys), library=library, layout=layout, width=4)
    assert (found.allowed() == allowed).all()
    assert found.axes == ("query", "key")


def test_samples_and_heads_of_their_own():
    allowed = np.random.default_rng(0).random((2, 3, 5, 7)) < 0.6
    allowed[..., 0] = True
    found = observed(lambda q, k, v: sdpa(q, k, v, attn_mask=torch.tensor(allowed)), allowed.shape, library="torch")
    assert found.axes == ("batch", "head", "query", "key")
    assert (found.allowed() == allowed).all()


def test_a_causal_flag_is_aligned_at_the_first_key():
    found = observed(lambda q, k, v: sdpa(q, k, v, is_causal=True), (3, 8), library="torch")
    assert (found.allowed() == np.tri(3, 8, dtype=bool)).all()


def test_a_row_that_sees_nothing_may_be_nan_or_zeros():
    allowed = np.tri(4, dtype=bool)
    allowed[1] = False
    bias = torch.zeros(4, 4).masked_fill(torch.tensor(~allowed), -torch.inf)
    nan = observed(lambda q, k, v: (q @ k.mT + bias).softmax(-1) @ v, (4, 4), library="torch")
    assert (nan.allowed() == allowed).all()


def test_a_bias_that_is_finite_blocks_nothing():
    slope = -torch.arange(8.0)
    found = observed(lambda q, k, v: (q @ k.mT + slope).softmax(-1) @ v, (8, 8), library="torch")
    assert found.allowed().all()


def test_of_keras_functions():
    found = observed(
        lambda q, k, v: keras.ops.dot_product_attention(q, k, v, is_causal=True), (6, 6), library="keras", layout="bqhd"
    )
    assert (found.allowed() == np.tri(6, dtype=bool)).all()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda q, k, v: v @ np.linspace(-1, 1, v.shape[-1] ** 2).reshape(v.shape[-1], -1), "less than nothing"),
        (lambda q, k, v: 3 * v, "add up to 3"),
        (lambda q, k, v: v[:, :, :2], r"must give \(1, 1, 4, 64\)"),
        (lambda q, k, v: v * np.nan, "no value arrives"),
        (lambda q, k, v: (v, v), "must give one array"),
    ],
)
def test_what_is_no_average_of_values_is_refused(function, message):
    with pytest.raises(ConfigError, match=message):
        observed(function, (4, 4))


@pytest.mark.parametrize("shape", [(4,), (1, 4, 4), (0, 4), (4.0, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ConfigError, match="shape must be"):
        observed(numpy_attention(True), shape)


def test_an_unknown_layout_is_refused():
    with pytest.raises(ConfigError, match="layout must be one of 'bhqd', 'bqhd'"):
        observed(numpy_attention(True), (4, 4), layout="bhdq")
