"""Perceiver: the contract, the oracles, and the facts."""

import keras
import numpy as np
import pytest
from keras import ops
from maskkit_attention_perceiver import Perceiver, PerceiverAttention
from maskkit_keras.testing import check_attention, golden, head_kernel, output_kernel, stacked_bias, stacked_kernel

RANDOM = np.random.default_rng(0)
QUERY = RANDOM.normal(size=(2, 3, 12)).astype("float32")
KV = RANDOM.normal(size=(2, 5, 7)).astype("float32")


def test_contract():
    check_attention(Perceiver)


@golden("perceiver")
def test_golden_perceiver(case):
    """Equal to torch, also where keys have another width, and to transformers with norms and residual."""
    query, kv = case.inputs["query"], case.inputs["kv"]
    layer = case.build(PerceiverAttention, query.shape, kv.shape)
    case.transplant(layer, _weights(case.weights, case.params["num_heads"]))
    case.check("y", layer(query, kv, attention_mask=case.inputs.get("attention_mask")))


@golden("perceiver", select=lambda name: name == "self")
def test_golden_self_attention(case):
    """Without kv the queries read themselves."""
    layer = case.build(PerceiverAttention, case.inputs["query"].shape)
    case.transplant(layer, _weights(case.weights, case.params["num_heads"]))
    case.check("y", layer(case.inputs["query"]))


def _weights(w, heads):
    if "output.dense.weight" in w:
        norms = {"query_norm": "self.layernorm1", "kv_norm": "self.layernorm2"}
        more = {
            f"{ours}/{a}": w[f"{theirs}.{b}"]
            for ours, theirs in norms.items()
            for a, b in (("gamma", "weight"), ("beta", "bias"))
        }
        query, key, value = (w[f"self.{part}.weight"] for part in ("query", "key", "value"))
        bias = np.concatenate([w[f"self.{part}.bias"] for part in ("query", "key", "value")])
        out = "output.dense"
    elif "q_proj_weight" in w:
        more, bias, out = {}, w["in_proj_bias"], "out_proj"
        query, key, value = (w[f"{part}_proj_weight"] for part in "qkv")
    else:
        more, bias, out = {}, w["in_proj_bias"], "out_proj"
        query, key, value = np.split(w["in_proj_weight"], 3)
    return {
        "query_kernel": head_kernel(query, heads),
        "query_bias": stacked_bias(bias, 3, heads)[0],
        "kv_kernel": stacked_kernel(np.concatenate([key, value]), 2, heads),
        "kv_bias": stacked_bias(bias, 3, heads)[1:],
        "output_kernel": output_kernel(w[f"{out}.weight"], heads),
        "output_bias": w[f"{out}.bias"],
        **more,
    }


def run(layer, *inputs, **options):
    return ops.convert_to_numpy(layer(*inputs, **options))


@pytest.mark.parametrize("two", [True, False])
def test_a_saved_model_gives_the_same(tmp_path, two):
    """A `.keras` file of a model with two inputs of different widths, and of one with one."""
    query, kv = keras.Input((3, 12)), keras.Input((None, 7))
    layer = PerceiverAttention(dim=12, num_heads=3, pre_norm=True)
    model = keras.Model([query, kv] if two else query, layer(query, kv) if two else layer(query))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    inputs = [QUERY, KV] if two else QUERY
    np.testing.assert_array_equal(run(loaded, inputs), run(model, inputs))


def test_what_is_read_may_have_any_length():
    layer = PerceiverAttention(dim=12, num_heads=3)
    for length in (5, 1, 4):
        assert run(layer, QUERY, KV[:, :length]).shape == QUERY.shape


def test_the_query_may_be_what_is_read():
    layer = PerceiverAttention(dim=12, num_heads=3, pre_norm=True)
    np.testing.assert_allclose(run(layer, QUERY), run(layer, QUERY, QUERY), atol=1e-6)


def test_order_of_what_is_read_does_not_matter():
    layer = PerceiverAttention(dim=12, num_heads=3)
    np.testing.assert_allclose(run(layer, QUERY, KV[:, ::-1]), run(layer, QUERY, KV), atol=1e-6)


def test_the_mask_of_the_query_is_no_mask_of_what_is_read():
    """Carried masks: kv's acts, the query's only goes on."""
    layer = PerceiverAttention(dim=12, num_heads=3)
    query, kv = ops.convert_to_tensor(QUERY), ops.convert_to_tensor(KV)
    keep = np.array([[1, 1, 0, 0, 1], [0, 1, 1, 1, 1]], bool)
    expected = run(layer, query, kv, attention_mask=keep)
    query._keras_mask = ops.convert_to_tensor(np.array([[1, 0, 0], [1, 1, 0]], bool))
    kv._keras_mask = ops.convert_to_tensor(keep)
    outputs = layer(query, kv)
    np.testing.assert_allclose(ops.convert_to_numpy(outputs), expected, atol=1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs._keras_mask), [[1, 0, 0], [1, 1, 0]])


def test_the_residual_is_the_query_as_it_came():
    """Not the normalised one."""
    plain, added = (PerceiverAttention(dim=12, num_heads=3, pre_norm=True, query_residual=r) for r in (False, True))
    for layer in (plain, added):
        layer.build(QUERY.shape, KV.shape)
    added.set_weights(plain.get_weights())
    np.testing.assert_allclose(run(added, QUERY, KV), run(plain, QUERY, KV) + QUERY, atol=1e-6)


def test_norms_take_away_scale_and_offset():
    layer = PerceiverAttention(dim=12, num_heads=3, pre_norm=True)
    np.testing.assert_allclose(run(layer, 5 * QUERY + 1, 3 * KV - 2), run(layer, QUERY, KV), atol=1e-4)


@pytest.mark.parametrize(("rate", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_acts_on_weights_while_training(rate, expected):
    """Rate 0 drops nothing, rate 1 everything; without training nothing is dropped."""
    layer = PerceiverAttention(dim=12, num_heads=3, dropout=rate)
    calm, trained = (run(layer, QUERY, KV, training=training) for training in (False, True))
    np.testing.assert_allclose(trained, expected * calm, atol=1e-6)
    assert np.abs(calm).max() > 1e-3


@pytest.mark.parametrize(
    ("query", "kv", "message"),
    [
        ((2, 4, 3, 12), (2, 5, 7), r"Parameter 'query' must have the shape .*, got \(2, 4, 3, 12\)"),
        ((2, 3, 12), (2, 7), r"Parameter 'kv' must have the shape .*, got \(2, 7\)"),
        ((2, 3, 11), (2, 5, 7), r"dim=12, but its input has the shape \(2, 3, 11\)"),
    ],
)
def test_wrong_inputs_are_named(query, kv, message):
    with pytest.raises(ValueError, match=message):
        PerceiverAttention(dim=12, num_heads=3)(np.ones(query, "float32"), np.ones(kv, "float32"))


def test_heads_divide_the_width():
    with pytest.raises(ValueError, match="Parameter 'dim' must be divisible by num_heads=8, got 12"):
        Perceiver(dim=12)


def test_there_is_no_causal_mask():
    """Positions of queries and of what they read are unrelated."""
    with pytest.raises(TypeError, match="use_causal_mask"):
        PerceiverAttention(dim=12, num_heads=3)(QUERY, KV, use_causal_mask=True)
