"""Spatial: a gate for every pixel of a feature map, from the mean and the maximum of its channels."""

from attrs import field, frozen
from maskkit import hookimpl, lazy, odd
from maskkit_keras import TrainableAttention


@frozen(kw_only=True)
class Spatial(TrainableAttention):
    """Gates between 0 and 1 for the pixels of a map: a convolution over the mean and the maximum of the channels.

    The layer gives the gates, (B, H, W, 1), to be multiplied with the map; with `apply_gate` it gives the product.
    Pixels that a mask blocks are to the convolution what lies around the map, zeros.

    Source: Woo et al. 2018 (CBAM), arXiv:1807.06521, section 3.1, equation 3. The authors' code stacks the maximum
    before the mean, here the mean comes first: swap the two input channels of its kernels.

    Attributes:
        kernel_size: side of the convolution's window in pixels; odd. Around the map are zeros.
        use_bias: whether the convolution has a bias.
        apply_gate: whether to give the map times the gates, instead of the gates.
    """

    name = "spatial"
    layer_class = "maskkit_attention_spatial._layer:SpatialAttention"
    samples = (dict(kernel_size=3), dict(use_bias=False, apply_gate=True))
    masks = ("keys",)
    blocked = ""
    use_case = "Convolutional networks that point out where the features matter"
    kernel_size: int = field(default=7, validator=odd)
    use_bias: bool = True
    apply_gate: bool = False

    @property
    def shapes(self):
        """Of the gates, or of the gated map."""
        return f"(B, H, W, C) -> {'(B, H, W, C)' if self.apply_gate else '(B, H, W, 1)'}"


@hookimpl
def maskkit_attention():
    return [Spatial]


__getattr__ = lazy(__name__, "SpatialAttention")
