"""Channel: a gate for every channel of a feature map, from its mean and its maximum."""

from attrs import field, frozen
from maskkit import hookimpl, lazy, multiple, positive
from maskkit_keras import TrainableAttention


@frozen(kw_only=True)
class Channel(TrainableAttention):
    """Gates between 0 and 1 for the channels of a map, from each channel's mean and maximum over the pixels.

    The layer gives the gates, (B, 1, 1, channels), to be multiplied with the map; with `apply_gate` it gives the
    product. A mask of pixels says which pixels enter mean and maximum; where none does, both are 0.

    Source: Woo et al. 2018 (CBAM), arXiv:1807.06521, section 3.1, equation 2.

    Attributes:
        channels: of the map; a multiple of `ratio`.
        ratio: how many times narrower the hidden layer is, `channels / ratio` wide.
        use_bias: whether the two projections have biases; mean and maximum share them.
        apply_gate: whether to give the map times the gates, instead of the gates.
    """

    name = "channel"
    layer_class = "maskkit_attention_channel._layer:ChannelAttention"
    samples = (dict(channels=8, ratio=2), dict(channels=12, ratio=3, use_bias=True, apply_gate=True))
    rules = (multiple("channels", "ratio"),)
    masks = ("keys",)
    blocked = ""
    use_case = "Convolutional networks that weigh their channels anew"
    channels: int = field(validator=positive)
    ratio: int = field(default=8, validator=positive)
    use_bias: bool = False
    apply_gate: bool = False

    @property
    def shapes(self):
        """Of the gates, or of the gated map."""
        return f"(B, H, W, channels) -> {'(B, H, W, channels)' if self.apply_gate else '(B, 1, 1, channels)'}"


@hookimpl
def maskkit_attention():
    return [Channel]


__getattr__ = lazy(__name__, "ChannelAttention")
