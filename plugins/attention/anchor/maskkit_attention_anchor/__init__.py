"""Anchor: every token looks at the first few, the anchors, and at nothing else."""

from attrs import field, frozen
from maskkit import hookimpl, lazy, multiple, optional, positive, rate, seed
from maskkit_keras import TrainableAttention


@frozen(kw_only=True)
class Anchor(TrainableAttention):
    """Attention of all tokens to the first `num_anchor_tokens` of them: time and memory grow with tokens times anchors.

    The tokens are a set, so there is no causal mask. As many anchors as tokens, or more, make plain self-attention.

    Source: AB-UPT, Alkin et al. 2025, arXiv:2502.09692 (anchor attention).

    Attributes:
        dim: width of the tokens; a multiple of `num_heads`.
        num_heads: number of heads, each `dim / num_heads` wide.
        dropout: share of attention weights dropped while training, 0 to 1.
        num_anchor_tokens: number of anchors where the call gives none; None makes all tokens anchors.
        use_bias: whether the projections have biases.
        separate_query_projection: whether tokens that are no anchors have a query projection of their own.
        seed: of the dropout; None draws one.
    """

    name = "anchor"
    layer_class = "maskkit_attention_anchor._layer:AnchorAttention"
    samples = (
        dict(dim=12, num_heads=3, num_anchor_tokens=3),
        dict(dim=12, num_heads=3),
        dict(dim=8, num_heads=2, num_anchor_tokens=2, separate_query_projection=True, dropout=0.1, use_bias=False),
    )
    rules = (multiple("dim", "num_heads"),)
    shapes = "(B, T, dim) -> (B, T, dim)"
    masks = ("keys", "pairs")
    use_case = "Long sequences and point clouds in which a few tokens can speak for all"
    dim: int = field(validator=positive)
    num_heads: int = field(default=8, validator=positive)
    dropout: float = field(default=0.0, validator=rate)
    num_anchor_tokens: int | None = field(default=None, validator=optional(positive))
    use_bias: bool = True
    separate_query_projection: bool = False
    seed: int | None = field(default=None, validator=optional(seed))


@hookimpl
def maskkit_attention():
    return [Anchor]


__getattr__ = lazy(__name__, "AnchorAttention")
