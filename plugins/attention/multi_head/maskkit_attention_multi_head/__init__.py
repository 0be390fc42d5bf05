"""Multi-head: every token looks at every token it may see, in several heads at once."""

from typing import Any

from attrs import field, frozen
from maskkit import hookimpl, lazy, multiple, optional, positive, rate, seed
from maskkit_keras import TrainableAttention, initializer, keras_config


@frozen(kw_only=True)
class MultiHead(TrainableAttention):
    """Standard multi-head self-attention.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.

    Attributes:
        embed_dim: width of the tokens; a multiple of `num_heads`.
        num_heads: number of heads, each `embed_dim / num_heads` wide.
        dropout_rate: share of attention weights dropped while training, 0 to 1.
        use_bias: whether the projections have biases.
        qk_norm: whether queries and keys are RMS-normalised per head, with a learned gain (arXiv:2010.04245).
        seed: of the dropout; None draws one.
        kernel_initializer: how kernels start; each of query, key, value and output gets numbers of its own.
    """

    name = "multi_head"
    layer_class = "maskkit_attention_multi_head._layer:MultiHeadAttention"
    samples = (
        dict(embed_dim=12, num_heads=3),
        dict(embed_dim=8, num_heads=2, dropout_rate=0.1, use_bias=True, qk_norm=True),
    )
    rules = (multiple("embed_dim", "num_heads"),)
    shapes = "(B, T, embed_dim) -> (B, T, embed_dim)"
    masks = ("keys", "causal", "pairs")
    use_case = "General-purpose self-attention over tokens"
    embed_dim: int = field(validator=positive)
    num_heads: int = field(default=8, validator=positive)
    dropout_rate: float = field(default=0.0, validator=rate)
    use_bias: bool = False
    qk_norm: bool = False
    seed: int | None = field(default=None, validator=optional(seed))
    kernel_initializer: Any = field(default="he_normal", converter=keras_config, validator=initializer, hash=False)


@hookimpl
def maskkit_attention():
    return [MultiHead]


__getattr__ = lazy(__name__, "MultiHeadAttention")
