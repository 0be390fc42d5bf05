"""Reflect: the contract, the oracles, and the facts."""

import keras
import numpy as np
import pytest
from keras import ops
from maskkit_attention_reflect import Reflect, ReflectAttention
import maskkit
from maskkit_keras.testing import check_attention, float64

X = np.random.default_rng(0).normal(size=(2, 6, 15))
REAL = np.arange(6) < [[4], [6]]
PAIRS = np.random.default_rng(1).random((2, 6, 6)) < 0.5
PAIRS |= np.eye(6, dtype=bool)  # the oracles disagree on rows that allow nothing
MASKS = {
    "no mask": {},
    "keys": dict(attention_mask=REAL),
    "causal": dict(use_causal_mask=True),
    "pairs": dict(attention_mask=PAIRS),
}


def test_contract():
    check_attention(Reflect)


def numbers(x):
    return ops.convert_to_numpy(x)


def in_float64():
    """A built layer, and its kernels of queries, keys and values."""
    layer = ReflectAttention(dtype="float64")
    layer.build(X.shape)
    return layer, [numbers(kernel) for kernel in layer.weights]


@pytest.mark.parametrize("options", MASKS.values(), ids=MASKS)
def test_equal_to_keras_with_one_head(options):
    """`keras.layers.MultiHeadAttention` with the same kernels, and the identity as its output projection."""
    with float64():
        layer, kernels = in_float64()
        oracle = keras.layers.MultiHeadAttention(num_heads=1, key_dim=15, use_bias=False, dtype="float64")
        oracle.build(X.shape, X.shape)
        by_name = {weight.path.split("/")[-2]: weight for weight in oracle.weights}
        for name, kernel in zip(("query", "key", "value"), kernels, strict=True):
            by_name[name].assign(kernel[:, None])
        by_name["attention_output"].assign(np.eye(15)[None])
        theirs = dict(options)
        if "attention_mask" in theirs:  # Keras' second rank is queries by keys
            theirs["attention_mask"] = np.broadcast_to(theirs["attention_mask"].reshape(2, -1, 6), (2, 6, 6))
        # Asked for the weights, Keras goes through no fused kernel, which would round; on TensorFlow its softmax does.
        near = 1e-6 if keras.backend.backend() == "tensorflow" else 1e-12
        expected, weights = oracle(X, X, return_attention_scores=True, **theirs)
        y, w = layer(X, return_attention_scores=True, **options)
        np.testing.assert_allclose(numbers(y), numbers(expected), atol=near)
        np.testing.assert_allclose(numbers(w), numbers(weights), atol=near)
        np.testing.assert_allclose(numbers(layer(X, **options)), numbers(expected), atol=near)


@pytest.mark.parametrize("options", MASKS.values(), ids=MASKS)
def test_equal_to_torch(options):
    """Torch's scaled_dot_product_attention of the projections, made with NumPy."""
    torch = pytest.importorskip("torch")
    with float64():
        layer, kernels = in_float64()
        mask = options.get("attention_mask")
        expected = torch.nn.functional.scaled_dot_product_attention(
            *(torch.tensor(X @ kernel) for kernel in kernels),
            attn_mask=None if mask is None else torch.tensor(mask.reshape(2, -1, 6)),
            is_causal="use_causal_mask" in options,
        )
        np.testing.assert_allclose(numbers(layer(X, **options)), expected.numpy(), atol=1e-12)


def test_as_many_weights_as_three_squares():
    layer = ReflectAttention()
    layer.build((None, 20, 15))
    assert layer.count_params() == 675
    assert [tuple(weight.shape) for weight in layer.weights] == [(15, 15)] * 3


def masking_queries(x, real, query, key, value):
    """Attention with -1e9 added to the scores of blocked *queries*; the pitfall that `test_padding...` is about."""
    scores = (x @ query) @ (x @ key).swapaxes(1, 2) / x.shape[-1] ** 0.5
    scores = scores - 1e9 * ~real[:, :, None]
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True) @ (x @ value)


def test_padding_cannot_reach_a_real_token():
    """Blocked keys cannot; blocked queries would let it: softmax ignores what a whole row has in common."""
    with float64():
        layer, kernels = in_float64()
        changed = np.where(REAL[..., None], X, 100.0)
        before, after = (numbers(layer(x, attention_mask=REAL)) for x in (X, changed))
        np.testing.assert_array_equal(after[REAL], before[REAL])

        wrong_before, wrong_after = (masking_queries(x, REAL, *kernels) for x in (X, changed))
        unmasked = numbers(layer(X))
        np.testing.assert_allclose(wrong_before[REAL], unmasked[REAL], atol=1e-12)  # as if there were no mask
        assert np.abs(wrong_after[REAL] - wrong_before[REAL]).max() > 1


def test_zero_padding_still_takes_its_share_if_queries_are_blocked():
    """Zeroed padding scores 0, and e**0 counts in the softmax: the output shrinks with the number of pads."""
    with float64():
        layer, kernels = in_float64()
        zeroed = np.where(REAL[..., None], X, 0.0)
        alone = numbers(layer(X[:1, :4]))
        np.testing.assert_allclose(numbers(layer(zeroed[:1], attention_mask=REAL[:1]))[:, :4], alone, atol=1e-12)
        assert np.abs(masking_queries(zeroed[:1], REAL[:1], *kernels)[:, :4] - alone).max() > 0.01


def test_a_zero_query_reads_the_plain_mean_of_the_real_values():
    """So padding that an embedding zeroed gives the same at every padded place, made of real tokens alone."""
    with float64():
        layer, (_, _, value) = in_float64()
        zeroed = np.where(REAL[..., None], X, 0.0)
        y = numbers(layer(zeroed, attention_mask=REAL))
        expected = np.broadcast_to((X[0, :4] @ value).mean(0), (2, 15))
        np.testing.assert_allclose(y[0, 4:], expected, atol=1e-12)


def test_queries_cannot_be_blocked_instead():
    with pytest.raises(ValueError, match="unknown parameter 'mask_axis'"):
        maskkit.create("reflect", mask_axis="query")


def test_there_are_no_biases_to_initialize():
    with pytest.raises(ValueError, match="unknown parameter 'bias_initializer'"):
        ReflectAttention(bias_initializer="ones")
