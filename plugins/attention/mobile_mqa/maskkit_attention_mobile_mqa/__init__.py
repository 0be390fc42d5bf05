"""Mobile multi-query: on feature maps, many query heads and one head of keys and values."""

from typing import Any

from attrs import field, frozen
from maskkit import hookimpl, lazy, multiple, optional, positive, rate, seed
from maskkit_keras import TrainableAttention, initializer, keras_config


@frozen(kw_only=True)
class MobileMQAConfig(TrainableAttention):
    """The multi-query attention of MobileNetV4, which can look at a smaller map than it is asked from.

    With `use_downsampling`, keys and values each come from a depthwise convolution with strides and a batch norm. Then
    there can be no mask: the convolution mixes the pixels that a mask would block into others.

    Source: Qin et al. 2024 (MobileNetV4), arXiv:2404.10518, section 3.2.

    Attributes:
        dim: channels; a multiple of `num_heads`.
        num_heads: number of query heads, each `dim / num_heads` wide, as the one head of keys and values is.
        use_downsampling: whether keys and values are taken from a smaller map.
        use_bias: whether the projections have biases.
        kv_stride: how many times smaller that map is, in each direction, rounded up.
        dw_kernel_size: side of the depthwise convolutions in pixels; around the map are zeros.
        dropout_rate: share of attention weights dropped while training, 0 to 1.
        seed: of the dropout; None draws one.
        kernel_initializer: how kernels start; each gets numbers of its own.
    """

    name = "mobile_mqa"
    layer_class = "maskkit_attention_mobile_mqa._layer:MobileMQA"
    samples = (
        dict(dim=12, num_heads=3),
        dict(dim=8, num_heads=2, use_downsampling=True),
        dict(dim=8, num_heads=2, use_bias=True, dropout_rate=0.1),
    )
    rules = (multiple("dim", "num_heads"),)
    shapes = "(B, H, W, dim) -> (B, H, W, dim)"
    use_case = "Vision models for mobile and edge devices"
    dim: int = field(validator=positive)
    num_heads: int = field(default=8, validator=positive)
    use_downsampling: bool = False
    use_bias: bool = False
    kv_stride: int = field(default=2, validator=positive)
    dw_kernel_size: int = field(default=3, validator=positive)
    dropout_rate: float = field(default=0.0, validator=rate)
    seed: int | None = field(default=None, validator=optional(seed))
    kernel_initializer: Any = field(default="he_normal", converter=keras_config, validator=initializer, hash=False)

    @property
    def masks(self):
        """Pixels, unless they are mixed."""
        return () if self.use_downsampling else ("keys",)


@hookimpl
def maskkit_attention():
    return [MobileMQAConfig]


__getattr__ = lazy(__name__, "MobileMQA")
