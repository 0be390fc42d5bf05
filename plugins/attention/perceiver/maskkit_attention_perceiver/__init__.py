"""Perceiver: queries of their own read an input of any length and width."""

from attrs import field, frozen
from maskkit import hookimpl, lazy, multiple, optional, positive, rate, seed
from maskkit_keras import TrainableAttention


@frozen(kw_only=True)
class Perceiver(TrainableAttention):
    """Cross-attention: a few queries (latents) read an array of any length and width, in time linear in its length.

    Positions of queries and of what they read have nothing to do with each other, so there is no causal mask.

    Source: Jaegle et al. 2021, arXiv:2103.03206, section 3.1; Perceiver IO: arXiv:2107.14795.

    Attributes:
        dim: width of the queries and of the output; a multiple of `num_heads`.
        num_heads: number of heads, each `dim / num_heads` wide.
        dropout: share of attention weights dropped while training, 0 to 1.
        use_bias: whether the projections have biases.
        pre_norm: whether queries and what they read go through a layer norm each, first.
        query_residual: whether the queries, as they came in, are added to the output.
        norm_epsilon: of the layer norms.
        seed: of the dropout; None draws one.
    """

    name = "perceiver"
    layer_class = "maskkit_attention_perceiver._layer:PerceiverAttention"
    samples = (
        dict(dim=12, num_heads=3),
        dict(dim=8, num_heads=2, dropout=0.1, use_bias=False, pre_norm=True),
        dict(dim=8, num_heads=2, pre_norm=True, query_residual=True),
    )
    rules = (multiple("dim", "num_heads"),)
    shapes = "(B, T, dim), (B, S, C) -> (B, T, dim); (B, T, dim) -> (B, T, dim)"
    masks = ("keys", "pairs")
    use_case = "Reading long or foreign inputs into a few latents; cross-attention between modalities"
    dim: int = field(validator=positive)
    num_heads: int = field(default=8, validator=positive)
    dropout: float = field(default=0.0, validator=rate)
    use_bias: bool = True
    pre_norm: bool = False
    query_residual: bool = False
    norm_epsilon: float = field(default=1e-5, validator=positive)
    seed: int | None = field(default=None, validator=optional(seed))

    @property
    def blocked(self):
        """A query that sees nothing gives itself if it is added, else zeros."""
        return "input" if self.query_residual else "zeros"


@hookimpl
def maskkit_attention():
    return [Perceiver]


__getattr__ = lazy(__name__, "PerceiverAttention")
