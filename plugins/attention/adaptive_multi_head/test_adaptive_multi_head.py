"""Adaptive multi-head: the contract, the oracles, and the facts."""

import keras
import numpy as np
import pytest
from keras import ops
from maskkit_attention_adaptive_multi_head import AdaptiveMultiHead, AdaptiveMultiHeadAttention
from maskkit_keras.testing import check_attention, golden, gradients


def test_contract():
    check_attention(AdaptiveMultiHead)


@golden("adaptive_multi_head")
def test_golden_adaptive_multi_head(case):
    """Equal to Keras at temperature 1, and to the printed function elsewhere; self, cross, causal."""
    query, value, w = case.inputs["query"], case.inputs["value"], case.weights
    layer = case.build(AdaptiveMultiHeadAttention, query.shape, value.shape)
    names = {"query": "query", "key": "key", "value": "value", "output": "attention_output"}
    case.transplant(layer, {f"{a}_{p}": w[f"{b}.{p}"] for a, b in names.items() for p in ("kernel", "bias")})
    mask = case.inputs.get("attention_mask")
    y, weights = layer(query, value, attention_mask=mask, return_attention_scores=True)
    case.check("y", y)
    case.check("weights", weights)


@golden("adaptive_multi_head", select=lambda name: name.startswith("temp1"))
def test_golden_no_entropy_is_high_enough(case):
    """With an infinite threshold the temperature is 1, whatever its range."""
    query, value, w = case.inputs["query"], case.inputs["value"], case.weights
    changes = dict(min_temp=0.1, entropy_threshold=float("inf"))
    layer = case.build(AdaptiveMultiHeadAttention, query.shape, value.shape, **changes)
    names = {"query": "query", "key": "key", "value": "value", "output": "attention_output"}
    case.transplant(layer, {f"{a}_{p}": w[f"{b}.{p}"] for a, b in names.items() for p in ("kernel", "bias")})
    case.check("y", layer(query, value, attention_mask=case.inputs.get("attention_mask")))


# -- temperature ------------------------------------------------------------------------------------------------------


def weights_for(logits, **params):
    """The weights of one query that has these scores."""
    layer = AdaptiveMultiHeadAttention(num_heads=1, key_dim=1, use_bias=False, kernel_initializer="ones", **params)
    keys = np.array(logits, "float32")[None, :, None]
    return ops.convert_to_numpy(layer(np.ones((1, 1, 1), "float32"), keys, return_attention_scores=True)[1])[0, 0, 0]


def temperature(logits, **params):
    """What the scores were divided by: the first two weights tell."""
    weights = weights_for(logits, **params)
    return (logits[0] - logits[1]) / np.log(weights[0] / weights[1])


def spread(keys):
    """Scores whose weights are nearly even: their entropy is the logarithm of the number of keys."""
    return np.array([0.02, -0.02, *[0.0] * (keys - 2)])


def published(entropy):
    """The temperature that the paper prints: 1 / max(P, 1), above half a nat."""
    p = -0.037 * entropy**4 + 0.481 * entropy**3 - 2.3 * entropy**2 + 4.917 * entropy - 1.791
    return 1 / max(p, 1) if entropy > 0.5 else 1.0


@pytest.mark.parametrize(("keys", "rounded"), [(2, 1.0), (3, 0.7), (14, 0.45), (81, 0.41), (350, 0.83)])
def test_temperature_follows_entropy(keys, rounded):
    assert published(np.log(keys)) == pytest.approx(rounded, abs=0.01)
    assert temperature(spread(keys)) == pytest.approx(published(np.log(keys)), abs=0.003)


def test_adaptation_ends_at_some_380_keys():
    assert temperature(spread(375)) < 0.99
    assert temperature(spread(385)) == pytest.approx(1, abs=1e-3)


def test_sharp_weights_are_left_alone():
    """Entropy under the threshold: plain softmax."""
    logits = np.array([5.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(weights_for(logits), np.exp(logits) / np.exp(logits).sum(), atol=1e-6)
    assert temperature(logits, entropy_threshold=0.0, max_temp=4.0) == pytest.approx(4)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (dict(min_temp=0.7), 0.7),
        (dict(polynomial_coeffs=(0.25,)), 1.0),
        (dict(polynomial_coeffs=(0.25,), max_temp=3.0), 3.0),
    ],
)
def test_temperature_stays_in_its_range(params, expected):
    assert temperature(spread(81), **params) == pytest.approx(expected, abs=0.01)


def test_coefficients_begin_with_the_highest_power():
    entropy = np.log(10)
    found = temperature(spread(10), polynomial_coeffs=(0.5, 0.0, 1.0))
    assert found == pytest.approx(1 / (0.5 * entropy**2 + 1), abs=0.003)


def test_a_constant_in_all_scores_changes_nothing():
    logits = np.array([0.3, -0.2, 0.1, 0.7])
    np.testing.assert_allclose(weights_for(logits + 3), weights_for(logits), atol=1e-6)


def test_entropy_counts_allowed_keys_only():
    """Two of many keys allowed: the entropy of two."""
    layer = AdaptiveMultiHeadAttention(num_heads=1, key_dim=1, use_bias=False, kernel_initializer="ones")
    keys, allowed = np.zeros((1, 50, 1), "float32"), np.zeros((1, 50), bool)
    keys[0, :2, 0], allowed[0, :2] = (0.02, -0.02), True
    query = np.ones((1, 1, 1), "float32")
    _, weights = layer(query, keys, attention_mask=allowed, return_attention_scores=True)
    weights = ops.convert_to_numpy(weights)[0, 0, 0]
    assert 0.04 / np.log(weights[0] / weights[1]) == pytest.approx(published(np.log(2)), abs=0.003)
    assert not weights[2:].any()


def test_a_causal_row_of_one_key_has_weight_one():
    layer = AdaptiveMultiHeadAttention(num_heads=2, key_dim=4)
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    _, weights = layer(x, use_causal_mask=True, return_attention_scores=True)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(weights)[:, :, 0], np.eye(5)[None, None, 0].repeat(2, 0).repeat(2, 1)
    )


def test_no_gradient_flows_through_the_temperature():
    """Gradients are those of a layer whose temperature is a constant of that value."""
    keys = np.array([[[0.9], [0.1], [-0.4], [0.2]]], "float32")
    query = np.ones((1, 1, 1), "float32")
    common = dict(num_heads=1, key_dim=1, use_bias=False, kernel_initializer="ones")
    constant = 1 / temperature(keys[0, :, 0])
    assert constant > 1.3
    found = []
    for params in ({}, dict(polynomial_coeffs=(float(constant),))):
        layer = AdaptiveMultiHeadAttention(**common, **params)
        layer(query, keys)
        found.append(gradients(layer, [query, keys])[1])
    for adaptive, fixed in zip(*found, strict=True):
        np.testing.assert_allclose(adaptive, fixed, rtol=1e-3)


# -- inputs -----------------------------------------------------------------------------------------------------------


def test_the_mask_of_the_value_is_the_mask_of_the_keys():
    """Carried masks: the value's in cross-attention, and not the query's."""
    layer = AdaptiveMultiHeadAttention(num_heads=2, key_dim=4)
    random = np.random.default_rng(0)
    query, value = (ops.convert_to_tensor(random.normal(size=(2, n, 8)), dtype="float32") for n in (3, 5))
    keep = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]], bool)
    expected = ops.convert_to_numpy(layer(query, value, attention_mask=keep))
    value._keras_mask = ops.convert_to_tensor(keep)
    query._keras_mask = ops.convert_to_tensor(np.array([[1, 0, 0], [1, 1, 1]], bool))
    outputs = layer(query, value)
    np.testing.assert_allclose(ops.convert_to_numpy(outputs), expected, atol=1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs._keras_mask), [[1, 0, 0], [1, 1, 1]])


def test_other_axes_go_along_with_the_batch():
    """Attention over one axis of a map is attention over each of its rows; a mask counts for each of them."""
    layer = AdaptiveMultiHeadAttention(num_heads=2, key_dim=4, attention_axes=2)
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 8)).astype("float32")
    keep = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]], bool)
    y, weights = layer(x, attention_mask=keep, return_attention_scores=True)
    plain = AdaptiveMultiHeadAttention(num_heads=2, key_dim=4)
    plain.build((None, None, 8))
    plain.set_weights(layer.get_weights())
    for row in range(3):
        expected, shares = plain(x[:, row], attention_mask=keep, return_attention_scores=True)
        np.testing.assert_allclose(ops.convert_to_numpy(y)[:, row], ops.convert_to_numpy(expected), atol=1e-6)
        np.testing.assert_allclose(ops.convert_to_numpy(weights)[:, row], ops.convert_to_numpy(shares), atol=1e-6)


@pytest.mark.parametrize("axes", [None, (1, 2), (-2, -3)])
def test_all_axes_of_a_map_are_its_pixels(axes):
    layer = AdaptiveMultiHeadAttention(num_heads=2, key_dim=4, attention_axes=axes)
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 8)).astype("float32")
    y = ops.convert_to_numpy(layer(x))
    flat = ops.convert_to_numpy(layer(x.reshape(2, 15, 1, 8)))
    np.testing.assert_allclose(y, flat.reshape(y.shape), atol=1e-6)


def test_the_output_may_have_several_axes():
    layer = AdaptiveMultiHeadAttention(num_heads=2, key_dim=4, output_shape=(2, 5))
    assert tuple(layer(np.ones((3, 4, 8), "float32")).shape) == (3, 4, 2, 5)


def test_keys_and_values_may_differ():
    """Equal to Keras' layer at temperature 1, with keys of their own."""
    random = np.random.default_rng(0)
    q, v, k = (random.normal(size=shape).astype("float32") for shape in ((2, 3, 8), (2, 5, 6), (2, 5, 7)))
    layer = AdaptiveMultiHeadAttention(num_heads=2, key_dim=4, value_dim=3, min_temp=1.0)
    theirs = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4, value_dim=3)
    theirs.build(q.shape, v.shape, k.shape)
    layer.build(q.shape, v.shape, k.shape)
    layer.query_kernel.assign(theirs.query_dense.kernel)
    layer.key_kernel.assign(theirs.key_dense.kernel)
    layer.value_kernel.assign(theirs.value_dense.kernel)
    layer.output_kernel.assign(theirs.output_dense.kernel)
    # Keras' fused kernel on JAX cannot have values of another width, so its weights are asked for.
    y, expected = (ops.convert_to_numpy(one(q, v, k, return_attention_scores=True)[0]) for one in (layer, theirs))
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize(("rate", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_acts_on_weights_while_training(rate, expected):
    """Rate 0 drops nothing, rate 1 everything; without training nothing is dropped."""
    layer = AdaptiveMultiHeadAttention(num_heads=2, key_dim=4, dropout=rate)
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    calm, trained = (ops.convert_to_numpy(layer(x, training=training)) for training in (False, True))
    np.testing.assert_allclose(trained, expected * calm, atol=1e-6)
    assert np.abs(calm).max() > 1e-3


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (dict(key_dim=0), "Parameter 'key_dim' must be positive, got 0"),
        (dict(num_heads=-1), "Parameter 'num_heads' must be positive, got -1"),
        (dict(value_dim=0), "Parameter 'value_dim' must be positive, or None, got 0"),
        (dict(min_temp=0.0), "Parameter 'min_temp' must be positive, got 0.0"),
        (dict(min_temp=2.0), "Parameter 'min_temp' must be at most max_temp=1.0, got 2.0"),
        (dict(entropy_threshold=-0.1), "Parameter 'entropy_threshold' must not be negative, got -0.1"),
        (
            dict(polynomial_coeffs=()),
            r"Parameter 'polynomial_coeffs' must have at least one number, or be None, got \(\)",
        ),
        (dict(output_shape=(3, 0)), r"Parameter 'output_shape' must be positive, or None, got \(3, 0\)"),
        (dict(attention_axes=0), "Parameter 'attention_axes' must be axes between .*, got 0"),
        (dict(dropout=1.5), "Parameter 'dropout' must be between 0.0 and 1.0, got 1.5"),
    ],
)
def test_mistakes_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveMultiHeadAttention(**{**dict(num_heads=2, key_dim=4), **params})


def test_axes_that_the_input_does_not_have_are_named():
    with pytest.raises(ValueError, match=r"'attention_axes' must be axes between .* shape \(2, 3, 8\), got 2"):
        AdaptiveMultiHeadAttention(num_heads=2, key_dim=4, attention_axes=2)(np.ones((2, 3, 8), "float32"))


def test_a_key_needs_a_value():
    x = np.ones((2, 3, 8), "float32")
    with pytest.raises(ValueError, match="gets a key without a value"):
        AdaptiveMultiHeadAttention(num_heads=2, key_dim=4)(x, key=x)
