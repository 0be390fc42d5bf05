"""CBAM: the contract, the oracle, and the facts."""

import numpy as np
import pytest
from keras import ops
from maskkit_attention_cbam import CBAM, CBAMConfig
from maskkit_attention_channel import ChannelAttention
from maskkit_attention_spatial import SpatialAttention
import maskkit
from maskkit_keras.testing import check_attention, golden

X = np.random.default_rng(0).normal(size=(2, 4, 3, 8)).astype("float32")


def test_contract():
    check_attention(CBAMConfig)


@golden("cbam")
def test_golden_cbam(case):
    """Equal to timm, after the first stage and after both."""
    x, w = case.inputs["x"], case.weights
    layer = case.build(CBAM, x.shape)
    weights = {
        "channel/squeeze_kernel": w["channel.fc1.weight"][:, :, 0, 0].T,
        "channel/expand_kernel": w["channel.fc2.weight"][:, :, 0, 0].T,
        "spatial/convolution/kernel": w["folded_kernel"],
        "spatial/convolution/bias": w["folded_bias"],
    }
    case.transplant(layer, weights)
    x = ops.convert_to_tensor(x)
    case.check("after_channel", x * layer.channel.gates(x))
    case.check("y", layer(x))


def test_it_is_its_two_halves():
    """The map times the channel gates, and that times its spatial gates, by the layers that exist on their own."""
    layer = CBAM(channels=8, ratio=4, kernel_size=3)
    layer.build(X.shape)
    channel = ChannelAttention(channels=8, ratio=4, apply_gate=True)
    spatial = SpatialAttention(kernel_size=3)
    for half, part in ((channel, layer.channel), (spatial, layer.spatial)):
        half.build(X.shape)
        half.set_weights(part.get_weights())
    z = channel(X)
    expected = ops.convert_to_numpy(z * spatial(z))
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X)), expected, atol=1e-6)


def test_a_padded_map_gives_what_the_map_gives():
    """Whatever the padding holds, and though the convolution sees over the border."""
    layer = CBAM(channels=8)
    padded = np.pad(X, ((0, 0), (0, 3), (0, 2), (0, 0)), constant_values=9)
    real = np.zeros(padded.shape[:3], bool)
    real[:, :4, :3] = True
    found = ops.convert_to_numpy(layer(padded, mask=real))[:, :4, :3]
    np.testing.assert_allclose(found, ops.convert_to_numpy(layer(X)), atol=1e-6)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (dict(channels=4), "Parameter 'channels' must be divisible by ratio=8, got 4"),
        (dict(channels=-8), "Parameter 'channels' must be positive, got -8"),
        (dict(channels=8, ratio=0), "Parameter 'ratio' must be positive, got 0"),
        (dict(channels=8, kernel_size=4), "Parameter 'kernel_size' must be odd and positive, got 4"),
        (dict(channels=8, channel_kernel_initializer=3), "Parameter 'channel_kernel_initializer' must be a Keras"),
        (
            dict(channels=8, spatial_kernel_regularizer="l3"),
            "Parameter 'spatial_kernel_regularizer' must be known to",
        ),
    ],
)
def test_refused(params, text):
    """With the names of CBAM's own parameters."""
    with pytest.raises(maskkit.ConfigError, match=text):
        CBAM(**params)


def test_each_half_may_have_its_own_start_and_loss():
    layer = CBAM(
        channels=8,
        channel_kernel_initializer="zeros",
        spatial_kernel_initializer="ones",
        spatial_kernel_regularizer="l1",
    )
    layer.build(X.shape)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.channel.squeeze_kernel), 0)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.spatial.convolution.kernel), 1)
    assert [ops.convert_to_numpy(loss) for loss in layer.losses] == [pytest.approx(0.01 * 7 * 7 * 2)]


def test_what_is_not_said_for_a_half_holds_for_both():
    layer = CBAM(channels=8, kernel_initializer="ones", kernel_regularizer="l1", channel_use_bias=True)
    layer.build(X.shape)
    kernels = [layer.channel.squeeze_kernel, layer.channel.expand_kernel, layer.spatial.convolution.kernel]
    assert all((ops.convert_to_numpy(kernel) == 1).all() for kernel in kernels)
    assert len(layer.losses) == 3
    assert len(layer.weights) == 6
