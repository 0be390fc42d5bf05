"""Window: attention inside the windows of a feature map, with a learned bias for relative positions."""

from attrs import field, frozen
from maskkit import ConfigError, hookimpl, lazy, multiple, non_negative, optional, positive, rate, seed
from maskkit.validators import Rule, is_integer, message
from maskkit_keras import TrainableAttention

_sides = Rule(
    "must be positive, one number of pixels or a pair (height, width)",
    lambda value: all(is_integer(side) and side > 0 for side in (value if isinstance(value, tuple) else [value])),
)


@frozen(kw_only=True)
class Window(TrainableAttention):
    """Swin's attention: a pixel sees its own window, and each displacement of two pixels has a bias of its own.

    Inputs of rank 4 are maps, (B, H, W, dim), of any size: the layer pads them with zeros at the bottom and right,
    rolls them by `shift_size`, cuts them into windows and puts them together again, in this order as Swin. After a
    roll, pixels from opposite borders of the map do not see each other. An axis that is no longer than a window is not
    rolled: there a shift would only cut the one window in two, where on longer axes it joins what windows part.

    Inputs of rank 3 are windows, (B * windows, N, dim), already cut, pixels row by row.

    Source: Liu et al. 2021 (Swin), arXiv:2103.14030, section 3.2.

    Attributes:
        dim: channels; a multiple of `num_heads`.
        window_size: side of the windows in pixels, or (height, width).
        num_heads: number of heads, each `dim / num_heads` wide.
        attn_dropout_rate: share of attention weights dropped while training, 0 to 1.
        qkv_bias: whether queries, keys and values have biases.
        qk_scale: of the scores; None is `(dim / num_heads) ** -0.5`.
        proj_dropout_rate: share of the output dropped while training, 0 to 1.
        proj_bias: whether the output projection has a bias.
        shift_size: how far maps are rolled up and left before they are cut, in axes of more than one window; less than
            the sides of the window.
        mask_padding: whether pixels that were added to fill the last windows are blocked; timm and the original let
            them take part.
        seed: of the dropouts; None draws one.
    """

    name = "window"
    layer_class = "maskkit_attention_window._layer:WindowAttention"
    samples = (
        dict(dim=12, window_size=3, num_heads=3),
        dict(dim=8, window_size=(2, 3), num_heads=2, shift_size=1, qk_scale=0.5),
        dict(dim=8, window_size=4, num_heads=2, qkv_bias=False, proj_bias=False, mask_padding=False),
    )
    rules = (multiple("dim", "num_heads"),)
    masks = ("keys",)
    use_case = "Vision transformers whose cost must grow with the image, not with its square"
    dim: int = field(validator=positive)
    window_size: int | tuple[int, int] = field(validator=_sides)
    num_heads: int = field(validator=positive)
    attn_dropout_rate: float = field(default=0.0, validator=rate)
    qkv_bias: bool = True
    qk_scale: float | None = field(default=None, validator=optional(positive))
    proj_dropout_rate: float = field(default=0.0, validator=rate)
    proj_bias: bool = True
    shift_size: int = field(default=0, validator=non_negative)
    mask_padding: bool = True
    seed: int | None = field(default=None, validator=optional(seed))

    def __attrs_post_init__(self):
        super().__attrs_post_init__()
        if self.shift_size >= min(self.window):
            rule = f"must be less than window_size={self.window_size}"
            raise ConfigError(message(self, "shift_size", rule, self.shift_size))

    @property
    def window(self):
        """(height, width)."""
        return (self.window_size,) * 2 if is_integer(self.window_size) else tuple(self.window_size)

    @property
    def shapes(self):
        """Windows, unless they are shifted, and maps."""
        height, width = self.window
        windows = f"(B, {height * width}, dim) -> (B, {height * width}, dim); " if not self.shift_size else ""
        return windows + "(B, H, W, dim) -> (B, H, W, dim)"


@hookimpl
def maskkit_attention():
    return [Window]


__getattr__ = lazy(__name__, "WindowAttention")
