"""Masks for splash attention, against splash attention itself."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_kernel,
    splash_attention_mask,
    splash_attention_mask_info,
)
import maskkit


@pytest.mark.parametrize("expression", ["causal", "sliding_window(window_size=100)", "sink(window_size=70)"])
def test_splash_reads_the_same_blocks(expression):
    """What splash attention prepares from our object is what it prepares from the dense array."""
    mask = maskkit.parse(expression, seq_len=512)
    ours, dense = mask.export("splash"), splash_attention_mask.NumpyMask(np.asarray(mask))
    assert ours == mask.export("splash")
    assert hash(ours) == hash(mask.export("splash"))
    infos = [
        splash_attention_mask_info._process_mask(
            splash_attention_mask.MultiHeadMask([one]), (128, 128), is_dkv=False, head_shards=1, q_seq_shards=1
        )[0]
        for one in (ours, dense)
    ]
    for name in ("data_next", "mask_next", "block_mask", "partial_mask_blocks"):
        np.testing.assert_array_equal(getattr(infos[0], name), getattr(infos[1], name), err_msg=name)


def test_splash_attention_runs_with_it():
    """In interpret mode, for there is no TPU here."""
    mask = maskkit.create("sliding_window", seq_len=256, window_size=50)
    heads = splash_attention_mask.MultiHeadMask([mask.export("splash")] * 2)
    attend = splash_attention_kernel.make_splash_mha(heads, head_shards=1, q_seq_shards=1, interpret=True)
    query, key, value = np.random.default_rng(0).normal(size=(3, 2, 256, 128)).astype(np.float32)
    out = attend(jnp.asarray(query), jnp.asarray(key), jnp.asarray(value))
    scores = np.where(mask, query @ key.transpose(0, 2, 1), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ value
    np.testing.assert_allclose(np.asarray(jax.device_get(out)), expected, atol=2e-3)


def test_one_mask_for_each_head():
    """The `MultiHeadMask` of a stack computes what the definition says, head by head."""
    window, causal = (maskkit.parse(text, seq_len=256) for text in ("sliding_window(window_size=50)", "causal"))
    mask = maskkit.stack([window, causal])
    attend = splash_attention_kernel.make_splash_mha(
        mask.export("splash"), head_shards=1, q_seq_shards=1, interpret=True
    )
    query, key, value = np.random.default_rng(0).normal(size=(3, 2, 256, 128)).astype(np.float32)
    out = attend(jnp.asarray(query), jnp.asarray(key), jnp.asarray(value))
    scores = np.where(np.stack([window, causal]), query @ key.transpose(0, 2, 1), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ value
    np.testing.assert_allclose(np.asarray(jax.device_get(out)), expected, atol=2e-3)


def test_splash_refuses_what_it_leaves_undefined():
    mask = maskkit.parse("causal & ~banded(band_width=3)", seq_len=16)
    with pytest.raises(maskkit.ConfigError, match="2 rows that allow nothing"):
        mask.export("splash")


def test_a_batch_is_refused_with_the_way_out():
    mask = maskkit.create("key_padding", lengths=[3, 4], seq_len=4)
    with pytest.raises(maskkit.ConfigError, match=r"has a batch; export mask\[i\] of each sample"):
        mask.export("splash")


def test_the_entry_module_is_light():
    code = "import sys, maskkit_splash; print('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
