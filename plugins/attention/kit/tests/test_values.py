"""Mask values down to the kernel: which layers keep them, and that they give what their booleans give."""

import keras
import numpy as np
import pytest
from attrs import frozen
from keras import ops
import maskkit
from maskkit import ConfigError, limits
from maskkit.errors import NoKernel
from maskkit_keras import MaskedAttention, allowed_pairs, attend
from maskkit_keras.testing import differentiate
from maskkit_keras.values import MaskValue

BACKEND = keras.backend.backend()
if BACKEND == "tensorflow":
    pytest.skip("TensorFlow has no kernels", allow_module_level=True)
ON_TORCH = pytest.mark.skipif(BACKEND != "torch", reason="JAX has all its arrays before it knows the kernel")

KEEP = {
    "anchor": dict(dim=8, num_heads=2, num_anchor_tokens=64),
    "attention_block": dict(dim=8, num_heads=2, layer_scale_init=1.0),
    "differential": dict(dim=8, num_heads=2, head_dim=2),
    "group_query": dict(d_model=8, n_head=2, n_kv_head=1, max_seq_len=4096),
    "hopfield": dict(num_heads=2, key_dim=4),
    "multi_head": dict(embed_dim=8, num_heads=2),
    "perceiver": dict(dim=8, num_heads=2),
    "reflect": {},
    "shared_weights_cross": dict(dim=8, num_heads=2),
}
"""Layers that hand mask values to `maskkit.attend`, as the README lists them."""
OTHERS = {
    "adaptive_multi_head": dict(num_heads=2, key_dim=4),
    "capsule_routing": dict(num_heads=2),
    "hopfield": dict(num_heads=2, key_dim=4, update_steps_max=1),
}


def layer_of(name, **options):
    return maskkit.create_attention_layer(name, **{**(KEEP.get(name) or OTHERS.get(name, {})), **options})


def inputs_of(name, tokens, batch=2):
    shape = (batch, 4, tokens // 4, 8) if name == "attention_block" else (batch, tokens, 8)
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def options_of(name, tokens):
    return {"split_sizes": (tokens // 2, tokens - tokens // 2)} if name == "shared_weights_cross" else {}


def window(tokens, size=8):
    """Of which some rows see nothing."""
    rows = np.arange(tokens)
    rows[5::7] = -1
    return maskkit.create("sliding_window", seq_len=tokens, window_size=size).at(query=rows)


def numbers(x):
    return ops.convert_to_numpy(x)


def close(found, expected, atol=2e-5):
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol * max(1.0, np.abs(other).max()))


@pytest.fixture(autouse=True)
def _same_weights():
    """Halves round differently for other weights, now and then by more than a bound should allow."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def asked(monkeypatch):
    """The masks that `maskkit.attend` is asked for."""
    masks, original = [], maskkit.attend

    def noting(query, key, value, mask, **options):
        masks.append(mask)
        return original(query, key, value, mask, **options)

    monkeypatch.setattr(maskkit, "attend", noting)
    return masks


@pytest.fixture
def no_square(monkeypatch):
    """No mask makes an array of more than 4,096 x 128."""
    monkeypatch.setattr(limits, "dense_bytes", 2**19)


@pytest.mark.parametrize("name", KEEP)
def test_a_mask_value_gives_what_its_booleans_give(name, asked):
    """Outputs and gradients."""
    tokens = 256 if BACKEND == "torch" else 32
    layer, x, mask = layer_of(name), inputs_of(name, tokens), window(tokens)
    options = options_of(name, tokens)
    layer(x, **options)
    found = differentiate(layer, [x], attention_mask=mask, **options)
    assert asked
    asked.clear()
    close(found, differentiate(layer, [x], attention_mask=mask.allowed()[None], **options))
    assert not asked


@pytest.mark.parametrize("name", [name for name in KEEP if name != "perceiver"])  # whose inputs have masks by name
def test_as_mask_it_is_the_same_and_not_carried_on(name, asked):
    """A mask of queries and keys is no padding; beside another one both hold."""
    layer, x, options = layer_of(name), inputs_of(name, 16), options_of(name, 16)
    both, causal = window(16) & maskkit.create("causal", seq_len=16), maskkit.create("causal", seq_len=16)
    expected = numbers(layer(x, attention_mask=both, **options))
    asked.clear()
    found = layer(x, mask=both, **options)
    assert asked
    assert getattr(found, "_keras_mask", None) is None
    close(numbers(found), expected)
    close(numbers(layer(x, mask=causal, attention_mask=window(16), **options)), expected)


@pytest.mark.parametrize("name", OTHERS)
def test_layers_that_change_scores_take_booleans(name, asked):
    layer, x, mask = layer_of(name, **OTHERS[name]), inputs_of(name, 16), window(16)
    close(numbers(layer(x, attention_mask=mask)), numbers(layer(x, attention_mask=mask.allowed()[None])))
    assert not asked


def test_every_layer_of_pairs_is_among_them():
    samples = {name: maskkit.info(name, "attention").example for name in maskkit.names("attention")}
    configs = {name: maskkit.config(name, kind="attention", **sample) for name, sample in samples.items()}
    assert {name for name, config in configs.items() if "pairs" in config.masks} == {*KEEP, *OTHERS}


@ON_TORCH
@pytest.mark.parametrize("name", KEEP)
def test_a_window_of_4096_tokens_makes_no_square(name, no_square):
    x, options = inputs_of(name, 4096, batch=1), options_of(name, 4096)
    layer, mask = layer_of(name), maskkit.create("sliding_window", seq_len=4096, window_size=64)
    layer(x[:, :64], **options_of(name, 64)) if name != "attention_block" else layer(x[:, :, :4])
    found = differentiate(layer, [x], attention_mask=mask, **options)
    assert all(np.isfinite(part).all() for part in keras.tree.flatten(found))


@ON_TORCH
def test_nor_does_a_model_that_trains(no_square):
    """Of padded samples, causal, with a bound mask and one of the call; its shapes are found without, too."""
    tokens = keras.Input((2048,), dtype="int32")
    x = keras.layers.Embedding(5, 8, mask_zero=True)(tokens)
    window, strided = (
        maskkit.create(name, seq_len=2048, **params)
        for name, params in (("sliding_window", dict(window_size=64)), ("causal", {}))
    )
    x = maskkit.create("multi_head", embed_dim=8, num_heads=2)(x, attention_mask=window, use_causal_mask=True)
    x = MaskedAttention({"type": "group_query", "d_model": 8, "n_head": 2, "n_kv_head": 1}, window)(
        x, attention_mask=strided
    )
    model = keras.Model(tokens, x)
    model.compile("sgd", "mse")
    batch = np.ones((2, 2048), "int32")
    batch[0, 1500:] = 0
    model.fit(batch, np.zeros((2, 2048, 8)), verbose=0)


@ON_TORCH
@pytest.mark.parametrize("side", ["post", "pre", "whole", "holes"])
@pytest.mark.parametrize("causal", [False, True])
def test_padding_goes_along_with_a_mask_value(side, causal, asked):
    """As lengths of samples; where it has holes, as booleans."""
    tokens = 1024
    x = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(2, tokens, 2, 4)).astype("float32"))
    real = np.arange(tokens) < np.array([[tokens]] * 2 if side == "whole" else [[700], [0]])
    real = {"pre": real[:, ::-1], "holes": real ^ (np.arange(tokens) == 9)}.get(side, real)
    mask = window(tokens)
    sizes = dict(batch=2, heads=2, queries=tokens, keys=tokens)
    found, _ = attend(x, x, x, allowed_pairs(mask, ops.convert_to_tensor(real.copy()), causal, **sizes))
    assert len(asked) == (side != "holes")
    both = mask.allowed() & real[:, None] & (np.tri(tokens, dtype=bool) | (not causal))
    close(numbers(found), numbers(attend(x, x, x, allowed_pairs(both, **sizes))[0]))
    assert not numbers(found)[:, 5].any()


@pytest.mark.parametrize("queries", [3, 6])
def test_causal_counts_from_the_first_token_beside_a_mask_value(queries, asked):
    q, k = (
        ops.convert_to_tensor(np.random.default_rng(n).normal(size=(1, n, 1, 4)).astype("float32"))
        for n in (queries, 5)
    )
    mask = maskkit.from_array(np.random.default_rng(2).random((queries, 5)) < 0.7, true="allowed")
    found = attend(q, k, k, allowed_pairs(mask, use_causal_mask=True))[0]
    assert len(asked) == 1
    both = mask.allowed() & np.tri(queries, 5, dtype=bool)
    close(numbers(found), numbers(attend(q, k, k, allowed_pairs(both[None]))[0]))


@pytest.mark.parametrize("dtype", ["float64", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["multi_head", "differential"])
def test_it_is_so_in_every_precision(name, dtype):
    """Within rounding, and a blocked row gives zeros."""
    if dtype == "float64" and BACKEND == "jax":
        pytest.skip("JAX has float64 if it is told so when it starts")
    layer, x, mask = layer_of(name, dtype=dtype), inputs_of(name, 64), window(64)
    layer(x)
    found, expected = (differentiate(layer, [x], attention_mask=given) for given in (mask, mask.allowed()[None]))
    close(found, expected, {"float64": 1e-12, "mixed_float16": 5e-3, "mixed_bfloat16": 6e-2}[dtype])
    assert not found.outputs[0][:, 5].any()


def test_weights_are_returned_and_dropped_without_a_kernel(asked):
    layer, x, mask = layer_of("multi_head", dropout_rate=0.5), inputs_of("multi_head", 16), window(16)
    _, weights = layer(x, attention_mask=mask, return_attention_scores=True)
    np.testing.assert_array_equal(numbers(weights) > 0, np.broadcast_to(mask.allowed(), weights.shape))
    layer(x, attention_mask=mask, training=True)
    assert not asked


def test_where_no_kernel_fits_it_gives_the_same(monkeypatch):
    layer, x, mask = layer_of("multi_head"), inputs_of("multi_head", 16), window(16)
    expected = numbers(layer(x, attention_mask=mask))

    def refusing(*args, **options):
        raise NoKernel("no kernel fits")

    monkeypatch.setattr(maskkit, "attend", refusing)
    close(numbers(layer(x, attention_mask=mask)), expected)


@ON_TORCH
def test_a_compiled_layer_takes_a_mask_value_as_booleans(asked):
    import torch

    layer, x, mask = layer_of("multi_head"), ops.convert_to_tensor(inputs_of("multi_head", 16)), window(16)
    expected = layer(x, attention_mask=mask)
    compiled = torch.compile(lambda x: layer(x, attention_mask=mask), backend="eager", fullgraph=True)
    asked.clear()
    close(numbers(compiled(x)), numbers(expected))
    assert not asked


# -- models -----------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Unheard(maskkit.AttentionMask):
    """A mask that no plugin offers."""

    name = "unheard"
    seq_len: int

    def allows(self, q, k):
        return k <= q + 1


@pytest.mark.parametrize("mask", [window(16), Unheard(seq_len=16)], ids=["known", "unheard"])
def test_a_model_keeps_the_value_trains_and_comes_back_from_a_file(mask, asked, tmp_path):
    """With all it allows; the value of a class that no plugin offers comes back as an array."""
    x = keras.Input((16, 8))
    model = keras.Model(x, layer_of("multi_head")(x, attention_mask=mask))
    model.compile("sgd", "mse")
    batch = inputs_of("multi_head", 16)
    model.fit(batch, batch, verbose=0)
    assert mask in asked
    expected = numbers(model.layers[-1](batch, attention_mask=mask.allowed()[None]))
    close(model.predict(batch, verbose=0), expected)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    close(loaded.predict(batch, verbose=0), expected)
    assert (asked[-1] == mask) == (mask.name != "unheard")


def test_a_wrapped_mask_tells_its_axes():
    mask = maskkit.stack([window(16), window(16, 3)], axis="head")
    assert MaskValue(mask).shape == (1, 2, 16, 16)
    with pytest.raises(ConfigError, match="3 heads of the mask against 2"):
        layer_of("multi_head")(inputs_of("multi_head", 16), attention_mask=maskkit.stack([window(16)] * 3, axis="head"))
