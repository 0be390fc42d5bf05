"""CBAM: a feature map through a gate for every channel, then through one for every pixel."""

from typing import Any

from attrs import field, frozen
from maskkit import hookimpl, lazy, multiple, odd, optional, positive
from maskkit_keras import TrainableAttention, initializer, keras_config, regularizer


@frozen(kw_only=True)
class CBAMConfig(TrainableAttention):
    """The convolutional block attention module: `z = x * channel_gates(x)`, then `y = z * spatial_gates(z)`.

    Maps are channels-last. Both gates obey a mask of pixels: blocked ones enter no mean and no maximum, and are to the
    convolution what lies around the map, zeros.

    Source: Woo et al. 2018, arXiv:1807.06521, section 3.

    Attributes:
        channels: of the map; a multiple of `ratio`.
        ratio: how many times narrower the hidden layer of the channel gates is.
        kernel_size: side of the spatial gates' convolution in pixels; odd.
        channel_use_bias: whether the projections of the channel gates have biases.
        spatial_use_bias: whether the convolution of the spatial gates has a bias.
        channel_kernel_initializer: how the kernels of the channel gates start; None means as `kernel_initializer`.
        spatial_kernel_initializer: how the kernel of the spatial gates starts; None means as `kernel_initializer`.
        channel_kernel_regularizer: adds a loss for the kernels of the channel gates; None means `kernel_regularizer`.
        spatial_kernel_regularizer: adds a loss for the kernel of the spatial gates; None means `kernel_regularizer`.
    """

    name = "cbam"
    layer_class = "maskkit_attention_cbam._layer:CBAM"
    samples = (
        dict(channels=8, ratio=2, kernel_size=3),
        dict(
            channels=12, ratio=3, channel_use_bias=True, spatial_use_bias=False, spatial_kernel_initializer="he_normal"
        ),
    )
    rules = (multiple("channels", "ratio"),)
    shapes = "(B, H, W, channels) -> (B, H, W, channels)"
    masks = ("keys",)
    blocked = ""
    use_case = "Refining the features of any convolutional network, in place"
    channels: int = field(validator=positive)
    ratio: int = field(default=8, validator=positive)
    kernel_size: int = field(default=7, validator=odd)
    channel_use_bias: bool = False
    spatial_use_bias: bool = True
    channel_kernel_initializer: Any = field(
        default=None, converter=keras_config, validator=optional(initializer), hash=False
    )
    spatial_kernel_initializer: Any = field(
        default=None, converter=keras_config, validator=optional(initializer), hash=False
    )
    channel_kernel_regularizer: Any = field(default=None, converter=keras_config, validator=regularizer, hash=False)
    spatial_kernel_regularizer: Any = field(default=None, converter=keras_config, validator=regularizer, hash=False)


@hookimpl
def maskkit_attention():
    return [CBAMConfig]


__getattr__ = lazy(__name__, "CBAM")
