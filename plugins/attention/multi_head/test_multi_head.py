"""Multi-head: the contract, the oracles, and the facts."""

import keras
import numpy as np
import pytest
from keras import ops
from maskkit_attention_multi_head import MultiHead, MultiHeadAttention
import maskkit
from maskkit_keras.testing import check_attention, golden, output_kernel, stacked_bias, stacked_kernel


def test_contract():
    check_attention(MultiHead)


@golden("multi_head")
def test_golden_multi_head(case):
    """Equal to timm and Keras: plain, every kind of mask, no biases, a row that allows nothing."""
    x = case.inputs["x"]
    layer = case.build(MultiHeadAttention, x.shape)
    case.transplant(layer, (_from_timm if "qkv.weight" in case.weights else _from_keras)(case))
    y, weights = layer(x, attention_mask=case.inputs.get("attention_mask"), return_attention_scores=True)
    case.check("y", y)
    case.check("y", layer(x, attention_mask=case.inputs.get("attention_mask")))
    if "weights" in case.outputs:
        case.check("weights", weights)


def _from_timm(case):
    heads, w = case.params["num_heads"], case.weights
    weights = {
        "qkv_kernel": stacked_kernel(w["qkv.weight"], 3, heads),
        "output_kernel": output_kernel(w["proj.weight"], heads),
    }
    if case.params["use_bias"]:
        weights["qkv_bias"] = stacked_bias(w["qkv.bias"], 3, heads)
    if "proj.bias" in w:
        weights["output_bias"] = w["proj.bias"]
    return weights


def _from_keras(case):
    w = case.weights
    return {
        "qkv_kernel": np.stack([w[f"{part}.kernel"] for part in ("query", "key", "value")], axis=1),
        "qkv_bias": np.stack([w[f"{part}.bias"] for part in ("query", "key", "value")]),
        "output_kernel": w["attention_output.kernel"],
        "output_bias": w["attention_output.bias"],
    }


def test_a_row_that_allows_nothing_gives_the_output_bias():
    layer = MultiHeadAttention(embed_dim=4, num_heads=2, use_bias=True)
    layer.build((None, None, 4))
    layer.output_bias.assign([1.0, 2.0, 3.0, 4.0])
    y = layer(np.ones((1, 3, 4), "float32"), attention_mask=np.zeros((1, 3), bool))
    np.testing.assert_array_equal(ops.convert_to_numpy(y)[0, 0], [1, 2, 3, 4])


def test_normalised_queries_do_not_feel_the_length_of_the_input():
    """With qk_norm, scores do not change when tokens get longer."""
    layer = MultiHeadAttention(embed_dim=8, num_heads=2, qk_norm=True)
    x = np.random.default_rng(0).normal(size=(1, 5, 8)).astype("float32")
    _, short = layer(x, return_attention_scores=True)
    _, long = layer(100 * x, return_attention_scores=True)
    np.testing.assert_allclose(ops.convert_to_numpy(long), ops.convert_to_numpy(short), atol=1e-3)


@pytest.mark.parametrize(("rate", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_acts_on_weights_while_training(rate, expected):
    """Rate 0 drops nothing, rate 1 everything; without training nothing is dropped."""
    layer = MultiHeadAttention(embed_dim=4, num_heads=1, dropout_rate=rate)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    calm, trained = (ops.convert_to_numpy(layer(x, training=training)) for training in (False, True))
    np.testing.assert_allclose(trained, expected * calm, atol=1e-6)


def test_seeded_dropout_repeats():
    x = np.ones((2, 6, 8), "float32")
    layers = [
        MultiHeadAttention(embed_dim=8, num_heads=2, dropout_rate=0.5, seed=1, kernel_initializer="ones") for _ in "ab"
    ]
    a, b = (ops.convert_to_numpy(layer(x, training=True)) for layer in layers)
    np.testing.assert_array_equal(a, b)
    assert (a != ops.convert_to_numpy(layers[0](x, training=False))).any()


def test_a_mask_value_may_be_composed():
    layer = MultiHeadAttention(embed_dim=8, num_heads=2)
    x = np.random.default_rng(0).normal(size=(2, 6, 8)).astype("float32")
    padding = np.array([[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]], bool)
    mask = maskkit.create("causal", seq_len=6) & maskkit.create("padding", padding_mask=padding)
    y = ops.convert_to_numpy(layer(x, attention_mask=mask))
    expected = ops.convert_to_numpy(layer(x, attention_mask=~padding, use_causal_mask=True))
    np.testing.assert_allclose(y[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(y[1, :4], expected[1, :4], atol=1e-6)


def test_the_name_of_keras_own_layer_is_not_taken():
    assert keras.saving.get_registered_name(MultiHeadAttention) == "maskkit>MultiHeadAttention"


def test_wrong_width_names_both():
    with pytest.raises(ValueError, match=r"embed_dim=8, but its input has the shape \(2, 3, 7\)"):
        MultiHeadAttention(embed_dim=8, num_heads=2)(np.ones((2, 3, 7), "float32"))


def test_positive_comes_before_divisible():
    with pytest.raises(ValueError, match="Parameter 'num_heads' must be positive, got 0"):
        MultiHead(embed_dim=8, num_heads=0)
