"""Attention block: attention and a perceptron on a feature map, each added to what goes in."""

from typing import Any, ClassVar

from attrs import field, frozen
from maskkit import ConfigError, UnknownName, config, hookimpl, lazy, multiple, one_of, optional, positive, rate, seed
from maskkit.validators import message
from maskkit_keras import TrainableAttention

_INNER = {
    "multi_head": lambda block: dict(
        embed_dim=block.dim, num_heads=block.num_heads, dropout_rate=block.dropout_rate, use_bias=block.use_bias
    ),
    "window": lambda block: dict(
        dim=block.dim,
        num_heads=block.num_heads,
        window_size=7,
        attn_dropout_rate=block.dropout_rate,
        qkv_bias=block.use_bias,
        proj_bias=block.use_bias,
    ),
    # Without rotary positions nothing depends on the length of the sequence.
    "group_query": lambda block: dict(
        d_model=block.dim,
        n_head=block.num_heads,
        n_kv_head=block.num_heads,
        rope_percentage=0.0,
        max_seq_len=2**31 - 1,
        dropout_rate=block.dropout_rate,
        use_bias=block.use_bias,
    ),
    "differential": lambda block: dict(
        dim=block.dim,
        num_heads=block.num_heads,
        head_dim=block.dim // block.num_heads,
        attention_dropout=block.dropout_rate,
        use_bias=block.use_bias,
        proj_bias=block.use_bias,
    ),
}
"""The parameters of the layer inside, in its own words."""


@frozen(kw_only=True)
class AttentionBlockConfig(TrainableAttention):
    """A transformer block on the pixels of a map, row by row: `z = x + g1 Attention(LN(x))`, `y = z + g2 MLP(LN(z))`.

    With `normalization_position="post"`: `z = LN(x + g1 Attention(x))`, `y = LN(z + g2 MLP(z))`. The scales g1 and g2
    multiply the branches only. The MLP is two projections with an exact GELU between them.

    Source: Dosovitskiy et al. 2020, arXiv:2010.11929, section 3.1; layer scale: Touvron et al. 2021 (CaiT),
    arXiv:2103.17239, section 2.

    Attributes:
        dim: channels; a multiple of `num_heads`.
        num_heads: number of heads of the attention.
        attention_type: of the layer inside, "multi_head", "window" (which gets the map, and takes no mask of pairs),
            "group_query" or "differential", each with or without "_attention" at the end.
        use_layer_scale: whether there are the learned scales g1 and g2, one number for each channel.
        mlp_ratio: how many times wider the MLP's hidden layer is.
        normalization_position: "pre", before the branches, or "post", after the additions.
        dropout_rate: share dropped while training, 0 to 1: of attention weights, after the attention, and after both
            projections of the MLP.
        layer_scale_init: what g1 and g2 start at.
        norm_epsilon: of the layer norms.
        use_bias: whether all projections have biases.
        attention_args: further parameters of the layer inside, such as `{"window_size": 8}`; they win. Windows are 7
            pixels wide, grouped queries start with a key head for every query head and no rotary positions, and
            differential heads are `dim // num_heads` wide.
        seed: of the dropouts; None draws one.
    """

    name = "attention_block"
    layer_class = "maskkit_attention_attention_block._layer:AttentionBlock"
    samples = (
        dict(dim=12, num_heads=3),
        dict(dim=8, num_heads=2, attention_type="window", attention_args={"window_size": 3}, mlp_ratio=1.5),
        dict(dim=8, num_heads=2, attention_type="group_query_attention", use_layer_scale=False, use_bias=False),
        dict(dim=8, num_heads=2, attention_type="differential", normalization_position="post", dropout_rate=0.1),
    )
    aliases: ClassVar = {"embed_dim": "dim", "d_model": "dim", "n_head": "num_heads", "dropout": "dropout_rate"}
    rules = (multiple("dim", "num_heads"),)
    shapes = "(B, H, W, dim) -> (B, H, W, dim)"
    blocked = ""
    use_case = "Vision transformers, and networks of convolutions and attention"
    dim: int = field(validator=positive)
    num_heads: int = field(default=8, validator=positive)
    attention_type: str = field(
        default="multi_head_attention", validator=one_of(*(f"{t}{end}" for t in _INNER for end in ("", "_attention")))
    )
    use_layer_scale: bool = True
    mlp_ratio: float = field(default=4.0, validator=positive)
    normalization_position: str = field(default="pre", validator=one_of("pre", "post"))
    dropout_rate: float = field(default=0.0, validator=rate)
    layer_scale_init: float = field(default=1e-4, validator=positive)
    norm_epsilon: float = field(default=1e-6, validator=positive)
    use_bias: bool = True
    attention_args: dict[str, Any] | None = field(default=None, hash=False)
    seed: int | None = field(default=None, validator=optional(seed))

    def __attrs_post_init__(self):
        super().__attrs_post_init__()
        if not self.hidden:
            raise ConfigError(message(self, "mlp_ratio", f"must be at least 1 / dim = 1 / {self.dim}", self.mlp_ratio))
        try:
            self.attention()
        except UnknownName:
            raise
        except ConfigError as error:
            rule = f"must be parameters of {self.inner!r}"
            raise ConfigError(f"{message(self, 'attention_args', rule, self.attention_args)}: {error}") from error

    @property
    def inner(self):
        """The short name of the layer inside."""
        return self.attention_type.removesuffix("_attention")

    @property
    def hidden(self):
        """Width of the MLP's hidden layer."""
        return int(self.dim * self.mlp_ratio)

    @property
    def masks(self):
        """Windows are of pixels, not of pairs."""
        return ("keys",) if self.inner == "window" else ("keys", "pairs")

    def attention(self, **defaults):
        """The config of the layer inside; `defaults` give way to `attention_args`."""
        params = {"seed": self.seed, **defaults, **_INNER[self.inner](self), **(self.attention_args or {})}
        return config(self.inner, kind="attention", **params)


@hookimpl
def maskkit_attention():
    return [AttentionBlockConfig]


__getattr__ = lazy(__name__, "AttentionBlock")
