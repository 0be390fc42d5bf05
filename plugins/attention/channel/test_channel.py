"""Channel: the contract, the oracle, and the facts."""

import numpy as np
import pytest
from keras import ops
from maskkit_attention_channel import Channel, ChannelAttention
import maskkit
from maskkit_keras.testing import check_attention, golden

X = np.random.default_rng(0).normal(size=(2, 4, 3, 8)).astype("float32")


def test_contract():
    check_attention(Channel)


@golden("channel")
def test_golden_channel(case):
    """Equal to timm, with and without biases: the gates, and the map times the gates."""
    for apply_gate, output in ((False, "map"), (True, "y")):
        layer = case.build(ChannelAttention, case.inputs["x"].shape, apply_gate=apply_gate)
        case.transplant(layer, dict(_weights(case.weights)))
        case.check(output, layer(case.inputs["x"]))


def _weights(w):
    for theirs, ours in (("fc1", "squeeze"), ("fc2", "expand")):
        yield f"{ours}_kernel", w[f"{theirs}.weight"][:, :, 0, 0].T
        if f"{theirs}.bias" in w:
            yield f"{ours}_bias", w[f"{theirs}.bias"]


def test_the_gates_are_the_formula():
    """sigmoid(W2 relu(W1 mean + b1) + b2 + W2 relu(W1 max + b1) + b2): the shared bias counts twice."""
    layer = ChannelAttention(channels=8, ratio=4, use_bias=True)
    layer.build(X.shape)
    for i, weight in enumerate(layer.weights):
        weight.assign(np.random.default_rng(i).normal(size=weight.shape))
    w1, w2, b1, b2 = (ops.convert_to_numpy(w) for w in layer.weights)
    total = sum(np.maximum(pool @ w1 + b1, 0) @ w2 + b2 for pool in (X.mean((1, 2)), X.max((1, 2))))
    expected = 1 / (1 + np.exp(-total))
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X))[:, 0, 0], expected, atol=1e-5)


def test_only_allowed_pixels_are_pooled():
    """The map cut down to what the mask allows gives the same gates."""
    layer = ChannelAttention(channels=8, ratio=2)
    keep = np.zeros((2, 4, 3), bool)
    keep[:, 1:3, :2] = True
    cut = ops.convert_to_numpy(layer(X[:, 1:3, :2]))
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X, mask=keep)), cut, atol=1e-6)


def test_blocked_pixels_may_hold_anything():
    """Even what is not finite."""
    layer = ChannelAttention(channels=8, ratio=2)
    keep = np.ones((2, 4, 3), bool)
    keep[:, 0] = False
    spoilt = np.where(keep[..., None], X, np.nan)
    np.testing.assert_array_equal(*(ops.convert_to_numpy(layer(x, mask=keep)) for x in (X, spoilt)))


def test_no_allowed_pixel_pools_zeros():
    """Then the gates are what a map of zeros gives, also where all features are negative."""
    layer = ChannelAttention(channels=8, ratio=2, use_bias=True, bias_initializer="ones")
    gates = ops.convert_to_numpy(layer(-np.abs(X), mask=np.zeros((2, 4, 3), bool)))
    np.testing.assert_allclose(gates, ops.convert_to_numpy(layer(np.zeros_like(X))), atol=1e-6)


def test_the_gate_is_off_by_default():
    gates = ChannelAttention(channels=8)(X)
    assert tuple(gates.shape) == (2, 1, 1, 8)


def test_large_maps_in_half_precision_do_not_overflow():
    """The sum over the pixels would not fit into float16."""
    layer = ChannelAttention(channels=8, dtype="float16", kernel_initializer="ones")
    keep = np.ones((1, 64, 64), bool)
    gates = ops.convert_to_numpy(layer(np.full((1, 64, 64, 8), 50.0, "float16"), mask=keep))
    np.testing.assert_array_equal(gates, 1)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (dict(channels=4), "Parameter 'channels' must be divisible by ratio=8, got 4"),
        (dict(channels=0), "Parameter 'channels' must be positive, got 0"),
        (dict(channels=8, ratio=0), "Parameter 'ratio' must be positive, got 0"),
        (dict(channels=8, ratio=-2), "Parameter 'ratio' must be positive, got -2"),
    ],
)
def test_refused(params, text):
    with pytest.raises(maskkit.ConfigError, match=text):
        ChannelAttention(**params)


def test_wrong_width_names_both():
    with pytest.raises(ValueError, match=r"channels=16, but its input has the shape \(2, 4, 3, 8\)"):
        ChannelAttention(channels=16)(X)


def test_a_mask_of_another_size_names_both():
    with pytest.raises(ValueError, match=r"'mask' must have the shape \(batch, 4, 3\).*got \(2, 3, 4\)"):
        ChannelAttention(channels=8)(X, mask=np.ones((2, 3, 4), bool))
