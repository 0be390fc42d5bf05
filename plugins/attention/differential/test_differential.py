"""Differential: the contract, the oracles, and the facts."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from maskkit_attention_differential import Differential, DifferentialMultiHeadAttention
from maskkit_keras.testing import check_attention, golden, output_kernel

X = np.random.default_rng(0).normal(size=(2, 5, 12)).astype("float32")
LAMBDAS = ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2")


def test_contract():
    check_attention(Differential)


@golden("differential")
def test_golden_differential(case):
    """Equal to timm, whose heads hold both streams, and to transformers, whose streams hold all heads."""
    layer = case.build(DifferentialMultiHeadAttention, case.inputs["x"].shape)
    case.transplant(layer, (_from_timm if "qkv.weight" in case.weights else _from_transformers)(case))
    case.check("y", layer(case.inputs["x"], attention_mask=case.inputs.get("attention_mask")))


def _from_timm(case):
    w, heads, width = case.weights, case.params["num_heads"], case.params["head_dim"]
    query, key, value = np.split(w["qkv.weight"].T, 3, axis=1)
    dim = len(query)
    return {
        "query_kernel": query.reshape(dim, heads, 2, width).swapaxes(1, 2),
        "key_kernel": key.reshape(dim, heads, 2, width).swapaxes(1, 2),
        "value_kernel": value.reshape(dim, heads, 2 * width),
        "output_kernel": output_kernel(w["proj.weight"], heads),
        "output_bias": w["proj.bias"],
        "norm_gain": w["sub_norm.weight"],
        **{name: w[name] for name in LAMBDAS},
    }


def _from_transformers(case):
    w, heads, width = case.weights, case.params["num_heads"], case.params["head_dim"]
    query, key, value = (w[f"{part}_proj.weight"].T.reshape(-1, 2, heads, width) for part in "qkv")
    return {
        "query_kernel": query,
        "key_kernel": key,
        "value_kernel": value.swapaxes(1, 2).reshape(-1, heads, 2 * width),
        "output_kernel": output_kernel(w["o_proj.weight"], heads),
        "norm_gain": np.ones(2 * width),
        **{name: w[name] for name in LAMBDAS},
    }


def made(**params):
    """A built layer whose lambda is what it starts at."""
    layer = DifferentialMultiHeadAttention(**{**dict(dim=12, num_heads=2, head_dim=3), **params})
    layer.build((None, None, 12))
    for name in LAMBDAS:
        weight(layer, name).assign(np.zeros(layer.head_dim))
    return layer


def weight(layer, name):
    return next(w for w in layer.weights if w.name == name)


def run(layer, **options):
    return ops.convert_to_numpy(layer(X, **options))


def test_equal_streams_cancel():
    """Both maps equal and lambda 1: nothing is left."""
    layer = made(sub_norm=False, lambda_init=1.0)
    assert np.abs(run(layer)).max() > 1e-3
    for name in ("query_kernel", "key_kernel"):
        kernel = ops.convert_to_numpy(weight(layer, name))
        weight(layer, name).assign(np.stack([kernel[:, 0]] * 2, axis=1))
    np.testing.assert_allclose(run(layer), 0, atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_lambda_zero_is_plain_attention_on_the_first_stream(causal):
    """Equal to Keras' layer."""
    layer = made(sub_norm=False, lambda_init=0.0)
    theirs = keras.layers.MultiHeadAttention(num_heads=2, key_dim=3, value_dim=6, use_bias=False)
    theirs.build(X.shape, X.shape)
    theirs.query_dense.kernel.assign(layer.query_kernel[:, 0])
    theirs.key_dense.kernel.assign(layer.key_kernel[:, 0])
    theirs.value_dense.kernel.assign(layer.value_kernel)
    theirs.output_dense.kernel.assign(layer.output_kernel)
    # Keras' fused kernel on JAX cannot have values of another width, so its weights are asked for.
    expected = ops.convert_to_numpy(theirs(X, X, use_causal_mask=causal, return_attention_scores=True)[0])
    np.testing.assert_allclose(run(layer, use_causal_mask=causal), expected, atol=1e-5)


@pytest.mark.parametrize(("params", "start"), [({}, 0.8), (dict(lambda_init=0.3), 0.3), (dict(layer_idx=0), 0.2)])
def test_lambda_starts_at_lambda_init(params, start):
    """Rows of the difference of the maps sum to 1 - lambda."""
    _, weights = made(**params)(X, return_attention_scores=True)
    np.testing.assert_allclose(ops.convert_to_numpy(weights).sum(-1), 1 - start, atol=1e-6)


def test_lambda_follows_its_vectors():
    """Equation 2: exp(q1.k1) - exp(q2.k2) + lambda_init."""
    layer = made(lambda_init=0.5)
    for name, value in zip(LAMBDAS, (0.1, 0.2, 0.3, -0.4), strict=True):
        weight(layer, name).assign(np.full(3, value))
    expected = math.exp(3 * 0.02) - math.exp(-3 * 0.12) + 0.5
    _, weights = layer(X, return_attention_scores=True)
    np.testing.assert_allclose(ops.convert_to_numpy(weights).sum(-1), 1 - expected, atol=1e-6)


@pytest.mark.parametrize("place", [0, 3, 11])
def test_lambda_follows_the_place_in_the_stack(place):
    config = Differential(dim=12, num_heads=2, head_dim=3, layer_idx=place)
    assert config.lambda_start == 0.8 - 0.6 * math.exp(-0.3 * place)
    assert config.lambda_init == 0.8


def test_lambda_vectors_are_small_random_and_shared_by_the_heads():
    layer = DifferentialMultiHeadAttention(dim=12, num_heads=2, head_dim=2000, dtype="mixed_float16")
    layer.build((None, None, 12))
    vectors = [ops.convert_to_numpy(weight(layer, name)) for name in LAMBDAS]
    assert {(v.shape, v.dtype.name) for v in vectors} == {((2000,), "float32")}
    for i, vector in enumerate(vectors):
        assert abs(vector.mean()) < 0.01
        assert vector.std() == pytest.approx(0.1, rel=0.1)
        assert all((vector != other).any() for other in vectors[:i])


def test_heads_are_normalised_and_scaled():
    """With the norm each head has the root mean square 1 - lambda_init; the gain starts at 1."""
    layer = made(lambda_init=0.25, num_heads=1, value_dim=12)
    layer.output_kernel.assign(np.eye(12)[None])
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.norm_gain), 1)
    np.testing.assert_allclose(np.sqrt((run(layer) ** 2).mean(-1)), 0.75, atol=1e-3)


def test_the_streams_differ_from_the_start():
    """No head is (1 - lambda) times plain attention."""
    layer = DifferentialMultiHeadAttention(dim=12, num_heads=2, head_dim=3, kernel_initializer="he_normal")
    layer.build((None, None, 12))
    for kernel in (layer.query_kernel, layer.key_kernel):
        assert np.abs(np.diff(ops.convert_to_numpy(kernel), axis=1)).min() > 0


def test_each_stream_drops_weights_of_its_own():
    """Equal maps, lambda 1: without dropout 0, with it not."""
    layer = made(sub_norm=False, lambda_init=1.0, attention_dropout=0.5, seed=1)
    for name in ("query_kernel", "key_kernel"):
        kernel = ops.convert_to_numpy(weight(layer, name))
        weight(layer, name).assign(np.stack([kernel[:, 0]] * 2, axis=1))
    np.testing.assert_allclose(run(layer), 0, atol=1e-6)
    assert np.abs(run(layer, training=True)).max() > 1e-2


def test_dropout_acts_on_the_output():
    """Rate 1 drops all of it, the bias too, and only while training."""
    layer = made(dropout=1.0, proj_bias=True)
    layer.output_bias.assign(np.ones(12))
    assert np.abs(run(layer)).max() > 0
    np.testing.assert_array_equal(run(layer, training=True), 0)


def test_the_width_of_heads_is_free():
    assert run(made(head_dim=7, num_heads=5, value_dim=2)).shape == X.shape


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (dict(head_dim=0), "Parameter 'head_dim' must be positive, got 0"),
        (dict(num_heads=-2), "Parameter 'num_heads' must be positive, got -2"),
        (dict(value_dim=0), "Parameter 'value_dim' must be positive, or None, got 0"),
        (dict(lambda_init=1.2), "Parameter 'lambda_init' must be between 0.0 and 1.0, got 1.2"),
        (dict(attention_dropout=-0.1), "Parameter 'attention_dropout' must be between 0.0 and 1.0, got -0.1"),
        (dict(dropout=2.0), "Parameter 'dropout' must be between 0.0 and 1.0, got 2.0"),
        (dict(layer_idx=-1), "Parameter 'layer_idx' must not be negative, or None, got -1"),
        (dict(norm_epsilon=0.0), "Parameter 'norm_epsilon' must be positive, got 0.0"),
    ],
)
def test_mistakes_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        DifferentialMultiHeadAttention(**{**dict(dim=12, num_heads=2, head_dim=3), **params})
