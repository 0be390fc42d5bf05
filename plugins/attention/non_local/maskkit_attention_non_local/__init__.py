"""Non-local: every pixel of a feature map gathers from all others, and adds what it found."""

from typing import Any

from attrs import field, frozen
from maskkit import hookimpl, lazy, one_of, optional, positive, seed
from maskkit.validators import Rule
from maskkit_keras import TrainableAttention, initializer, keras_config

_channels = Rule(
    "must be positive, or -1 for as many as the input has", lambda value: value > 0 or value == -1, number=True
)
_less_than_one = Rule("must be between 0.0 and 1.0, and less than 1", lambda value: 0 <= value < 1, number=True)


@frozen(kw_only=True)
class NonLocal(TrainableAttention):
    """The non-local block: `y = x + norm(Wz (f g))`, where `f` says how much pixel i takes of pixel j and `g = Wg x`.

    With `theta = Wq x` and `phi = Wk x`, the modes of attention are:

    - "gaussian": softmax of `x_i . x_j`, without embeddings;
    - "embedded_gaussian": softmax of `scale * theta_i . phi_j`;
    - "dot_product": `theta_i . phi_j / N`, for N allowed pixels; no pixel-by-pixel array is made, unless for dropout;
    - "concatenation": `relu(w . [theta_i; phi_j]) / N`.

    The block starts as the identity: the gain of the norm starts at 0, or without norm `Wz` does.

    Source: Wang et al. 2018, arXiv:1711.07971, section 3.

    Attributes:
        attention_channels: width of theta, phi and g.
        normalization: "batch", "layer" (over the channels) or None, after `Wz`.
        attention_mode: "gaussian", "embedded_gaussian", "dot_product" or "concatenation".
        output_channels: of the map that comes out; -1 means as many as go in.
        use_bias: whether the projections have biases.
        dropout_rate: share of `f` dropped while training, at least 0 and less than 1.
        use_residual: whether the input is added; then there are as many output channels as input channels.
        scale: of "embedded_gaussian"; None is `attention_channels ** -0.5`.
        output_activation: Keras' name of the activation after the norm, before the input is added.
        kernel_size: side in pixels of a depthwise convolution before everything but the addition; None for none. It
            sees blocked pixels as zeros.
        seed: of the dropout; None draws one.
        kernel_initializer: how kernels start; each gets numbers of its own.
    """

    name = "non_local"
    layer_class = "maskkit_attention_non_local._layer:NonLocalAttention"
    samples = (
        dict(attention_channels=4),
        dict(attention_channels=4, attention_mode="embedded_gaussian", normalization="layer", use_bias=True),
        dict(attention_channels=4, attention_mode="dot_product", normalization=None),
        dict(attention_channels=4, attention_mode="concatenation", normalization=None, kernel_size=3, dropout_rate=0.1),
        dict(attention_channels=4, output_channels=6, use_residual=False, output_activation="relu", normalization=None),
    )
    masks = ("keys",)
    use_case = "Convolutional networks that need to see the whole image at once"
    attention_channels: int = field(validator=positive)
    normalization: str | None = field(default="batch", validator=one_of("batch", "layer", None))
    attention_mode: str = field(
        default="gaussian", validator=one_of("gaussian", "embedded_gaussian", "dot_product", "concatenation")
    )
    output_channels: int = field(default=-1, validator=_channels)
    use_bias: bool = False
    dropout_rate: float = field(default=0.0, validator=_less_than_one)
    use_residual: bool = True
    scale: float | None = field(default=None, validator=optional(positive))
    output_activation: str = "linear"
    kernel_size: int | None = field(default=None, validator=optional(positive))
    seed: int | None = field(default=None, validator=optional(seed))
    kernel_initializer: Any = field(default="glorot_normal", converter=keras_config, validator=initializer, hash=False)

    @property
    def shapes(self):
        """As many channels as go in, or as many as asked for."""
        if self.output_channels == -1:
            return "(B, H, W, C) -> (B, H, W, C)"
        return "(B, H, W, C) -> (B, H, W, output_channels)"

    @property
    def blocked(self):
        """Where nothing is allowed nothing is added, but for what a norm makes of zeros."""
        if self.normalization:
            return ""
        return "input" if self.use_residual else "zeros"


@hookimpl
def maskkit_attention():
    return [NonLocal]


__getattr__ = lazy(__name__, "NonLocalAttention")
