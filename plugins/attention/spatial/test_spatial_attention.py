"""Spatial: the contract, the oracle, and the facts."""

import numpy as np
import pytest
from keras import ops
from maskkit_attention_spatial import Spatial, SpatialAttention
import maskkit
from maskkit_keras.testing import check_attention, golden

X = np.random.default_rng(0).normal(size=(2, 4, 3, 8)).astype("float32")


def test_contract():
    check_attention(Spatial)


@golden("spatial")
def test_golden_spatial(case):
    """Equal to timm, whose batch norm is folded into the convolution: the gates, and the map times the gates."""
    for apply_gate, output in ((False, "map"), (True, "y")):
        layer = case.build(SpatialAttention, case.inputs["x"].shape, apply_gate=apply_gate)
        w = case.weights
        case.transplant(layer, {"convolution/kernel": w["folded_kernel"], "convolution/bias": w["folded_bias"]})
        case.check(output, layer(case.inputs["x"]))


@golden("spatial")
def test_golden_folding_a_batch_norm(case):
    """How the README folds timm's batch norm: kernel * gain / sqrt(variance + 1e-5), bias - mean * gain / sqrt(...)."""
    w = case.weights
    factor = w["conv.bn.weight"] / np.sqrt(w["conv.bn.running_var"] + 1e-5)
    kernel = w["conv.conv.weight"].transpose(2, 3, 1, 0) * factor
    bias = w["conv.bn.bias"] - w["conv.bn.running_mean"] * factor
    layer = case.build(SpatialAttention, case.inputs["x"].shape)
    case.transplant(layer, {"convolution/kernel": kernel, "convolution/bias": bias})
    case.check("map", layer(case.inputs["x"]))


def test_mean_comes_before_maximum():
    layer = SpatialAttention(kernel_size=1, use_bias=False)
    layer.build(X.shape)
    for place, pool in enumerate((X.mean(-1), X.max(-1))):
        layer.convolution.kernel.assign(np.eye(2)[place].reshape(1, 1, 2, 1))
        np.testing.assert_allclose(ops.convert_to_numpy(layer(X))[..., 0], 1 / (1 + np.exp(-pool)), atol=1e-6)


def test_around_the_map_are_zeros():
    """A kernel of ones over a map of ones counts the pixels in its window, twice: for the mean and for the maximum."""
    layer = SpatialAttention(kernel_size=3, use_bias=False, kernel_initializer="ones")
    gates = ops.convert_to_numpy(layer(np.ones((1, 4, 5, 2), "float32")))[0, ..., 0]
    rows, columns = np.array([2, 3, 3, 2]), np.array([2, 3, 3, 3, 2])
    np.testing.assert_allclose(gates, 1 / (1 + np.exp(-2.0 * np.outer(rows, columns))), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1, 8), (2, 2, 9, 1), (1, 6, 3, 5)])
def test_maps_may_be_smaller_than_the_window(shape):
    """And have any number of channels."""
    gates = SpatialAttention()(np.ones(shape, "float32"))
    assert tuple(gates.shape) == (*shape[:3], 1)


def test_one_layer_takes_any_number_of_channels():
    layer = SpatialAttention()
    assert [tuple(layer(np.ones((1, 4, 4, c), "float32")).shape) for c in (8, 3)] == [(1, 4, 4, 1)] * 2


@pytest.mark.parametrize("size", [0, -1, 4])
def test_even_and_empty_windows_are_refused(size):
    with pytest.raises(maskkit.ConfigError, match=f"Parameter 'kernel_size' must be odd and positive, got {size}"):
        SpatialAttention(kernel_size=size)


def test_the_convolution_has_a_bias_unless_told():
    layers = [SpatialAttention(use_bias=use_bias) for use_bias in (True, False)]
    for layer in layers:
        layer.build((None, None, None, None))
    assert [len(layer.weights) for layer in layers] == [2, 1]
    assert tuple(layers[0].weights[0].shape) == (7, 7, 2, 1)


def test_blocked_pixels_are_as_what_lies_around_the_map():
    layer = SpatialAttention()
    padded = np.pad(X, ((0, 0), (0, 3), (0, 2), (0, 0)), constant_values=9)
    real = np.zeros(padded.shape[:3], bool)
    real[:, :4, :3] = True
    found = ops.convert_to_numpy(layer(padded, mask=real))[:, :4, :3]
    np.testing.assert_allclose(found, ops.convert_to_numpy(layer(X)), atol=1e-6)


def test_a_mask_of_another_size_names_both():
    with pytest.raises(ValueError, match=r"'mask' must have the shape \(batch, 4, 3\).*got \(2, 3, 4\)"):
        SpatialAttention()(X, mask=np.ones((2, 3, 4), bool))
